"""Storages for kopf that store nothing: it keeps no notes on objects that others own.

Valid because no handler of ours needs them: only `on.event` is used.
"""

from typing import Any

import kopf


class NoDiffBase(kopf.DiffBaseStorage):
    """Keeps no copy of the last handled state."""

    def build(self, **_: Any) -> kopf.BodyEssence:  # noqa: ANN401 - kopf's signature
        """An empty essence: nothing ever differs."""
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:  # noqa: ANN401 - kopf's signature
        """Nothing was kept."""
        return None

    def store(self, **_: Any) -> None:  # noqa: ANN401 - kopf's signature
        """Keep nothing."""


class NoProgress(kopf.ProgressStorage):
    """Keeps no progress of handlers."""

    def fetch(self, **_: Any) -> None:  # noqa: ANN401 - kopf's signature
        """Nothing was kept."""

    def store(self, **_: Any) -> None:  # noqa: ANN401 - kopf's signature
        """Keep nothing."""

    def purge(self, **_: Any) -> None:  # noqa: ANN401 - kopf's signature
        """There is nothing to take away."""

    def touch(self, **_: Any) -> None:  # noqa: ANN401 - kopf's signature
        """Touch nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """There is nothing to take out of it."""
        return essence
