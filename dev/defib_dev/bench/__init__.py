"""Measurements of Defib on real parts, each beside its reference from the same run."""
