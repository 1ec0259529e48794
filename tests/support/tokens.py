"""What a token keeps secret."""

SECRET_CHARACTERS = 43
"""32 random bytes in base64url, which has `_` among its letters: what goes before is public."""


def secret_of(token: str) -> str:
    """The random end of a token of any kind, which nothing may store or log."""
    return token[-SECRET_CHARACTERS:]
