"""Why a message did not arrive."""


class Undelivered(Exception):
    """The text says why, and holds no secret. `is_final`: another try would come to the same."""

    def __init__(self, why: str, *, is_final: bool = False) -> None:
        super().__init__(why)
        self.is_final = is_final
