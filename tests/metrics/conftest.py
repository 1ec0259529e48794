"""A store in one transaction, for figures that are counted there."""

from store.conftest import shared_engine, stored

__all__ = ["shared_engine", "stored"]
