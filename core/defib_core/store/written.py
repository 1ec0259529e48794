"""How PostgreSQL writes what the API shows."""


def written_moment(column: str) -> str:
    """SQL for a moment as the API writes it, to the second: `2026-01-31T23:59:59Z`."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""
