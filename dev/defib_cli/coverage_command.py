"""`defib coverage`: what nobody watches, and what nobody would reset."""

from collections.abc import Sequence
from typing import Any

import typer

from defib_cli.api_client import Where, connect
from defib_cli.person import Api, AsJson, CaFile, TokenFile, print_json, readable_errors

NONE = "-"


def coverage(
    *,
    as_json: AsJson = False,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Say which VMs have no agent, which agents no VM, and which VMs would not be reset."""
    with readable_errors():
        found = connect(Where(api, token_file, ca_file)).get("/api/coverage")
    if as_json:
        print_json(found)
        return
    for line in lines_of(found):
        typer.echo(line)


def lines_of(found: dict[str, Any]) -> list[str]:
    """Write the answer as tables, one below the other."""
    counts = found["counts"]
    read = ", ".join(f"{one['cluster']} ({one['readAt'] or 'never'})" for one in found["clusters"])
    lines = [f"Proxmox lists {counts['inventory']} VMs and containers. Read: {read or NONE}"]
    for title, key, columns in (
        ("VMs without an agent", "agentless", ("cluster", "node", "vmid", "name", "state")),
        (
            "Agents without a VM",
            "unknownAgents",
            ("hostname", "cluster", "vmid", "lastHeartbeat", "reason", "message"),
        ),
        (
            "VMs that would not be reset",
            "notResettable",
            ("hostname", "cluster", "node", "reason", "message"),
        ),
    ):
        rows = found[key]
        lines += ["", f"{title}: {counts[key]}", *_table(columns, rows)]
        if counts[key] > len(rows):
            lines.append(f"and {counts[key] - len(rows)} more")
    return lines


def _table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    heads = ["".join(f" {c}" if c.isupper() else c for c in name).upper() for name in columns]
    cells = [heads, *([_cell(row[name]) for name in columns] for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(columns))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _cell(value: object) -> str:
    return NONE if value is None else str(value)
