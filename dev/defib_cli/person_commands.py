"""`defib pause`, `unpause`, `stop`, `go`, `clear`, `reset`, `audit`: what people set and ask for.

Each asks the API, which writes it into the audit log, and prints what was done and what follows.
"""

import time
from typing import Annotated, Any

import typer

from defib_cli.api_client import ApiClient, ApiProblem, Where, connect
from defib_cli.person import (
    Api,
    AsJson,
    CaFile,
    Lasting,
    TheVm,
    TokenFile,
    Until,
    Why,
    WhyEnd,
    end_of,
    find_vm,
    print_json,
    readable_errors,
)

FOLLOW_SECONDS = 120.0
LOOK_EVERY_SECONDS = 1.0
FINISHED = frozenset({"succeeded", "failed", "unknown", "dry_run", "cancelled"})


def pause(
    vm: TheVm,
    *,
    reason: Why,
    lasting: Lasting = None,
    until: Until = None,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Keep a VM from being reset by itself, for a while or until `defib unpause`."""
    body = {"reason": reason, **end_of(lasting, until)}
    with readable_errors():
        client = connect(Where(api, token_file, ca_file))
        found = find_vm(client, vm)
        _say(client.call("POST", f"/api/vms/{found['id']}/pause", body))


def unpause(
    vm: TheVm,
    *,
    reason: WhyEnd = None,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """End a VM's pause."""
    with readable_errors():
        client = connect(Where(api, token_file, ca_file))
        found = find_vm(client, vm)
        _say(client.call("DELETE", f"/api/vms/{found['id']}/pause", query={"reason": reason}))


def stop(
    *, reason: Why, api: Api = None, token_file: TokenFile = None, ca_file: CaFile = None
) -> None:
    """Stop every reset, everywhere, until `defib go`."""
    with readable_errors():
        client = connect(Where(api, token_file, ca_file))
        _say(client.call("PUT", "/api/global-stop", {"reason": reason}))


def go(
    *,
    reason: WhyEnd = None,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """End the stop of everything."""
    with readable_errors():
        client = connect(Where(api, token_file, ca_file))
        _say(client.call("DELETE", "/api/global-stop", query={"reason": reason}))


def clear(
    vm: TheVm,
    *,
    reason: Why,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Set a VM's attempts back to 0, as after reset_failed, once the cause is found."""
    with readable_errors():
        client = connect(Where(api, token_file, ca_file))
        found = find_vm(client, vm)
        _say(client.call("POST", f"/api/vms/{found['id']}/clear", {"reason": reason}))


def reset(
    vm: TheVm,
    *,
    reason: Why,
    force: Annotated[
        bool, typer.Option("--force", help="Also where its automatic attempts are used up.")
    ] = False,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Reset a VM now, by the same careful way as an automatic one."""
    with readable_errors():
        client = connect(Where(api, token_file, ca_file))
        found = find_vm(client, vm)
        body = {"reason": reason, "force": force}
        answer = client.call("POST", f"/api/vms/{found['id']}/reset", body)
        if "href" in answer:
            typer.echo(answer["message"])
            _follow(client, found["hostname"], answer["href"])
            return
        typer.echo(f"{answer['message']}; its next heartbeat proves whether that helped")


def audit(
    vm: Annotated[str | None, typer.Argument(metavar="[VM]", help="Only of this VM.")] = None,
    *,
    action: Annotated[
        str | None, typer.Option(help="Only this: Pause, Clear, Reset, BeginGlobalStop ...")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many lines.", min=1, max=500)] = 50,
    before: Annotated[
        str | None, typer.Option(help="Only what is older than this line: audit_78.")
    ] = None,
    as_json: AsJson = False,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Show who did what, when and why, newest first."""
    with readable_errors():
        client = connect(Where(api, token_file, ca_file))
        vm_id = None if vm is None else find_vm(client, vm)["id"]
        lines = client.get("/api/audit", vm=vm_id, action=action, limit=limit, before=before)
    if as_json:
        print_json(lines)
        return
    for line in lines:
        typer.echo(_line(line))
    if not lines:
        typer.echo("Nothing.")


def _line(line: dict[str, Any]) -> str:
    whom = line["hostname"] or line["vmId"] or line["detail"].get("name") or ""
    why = "" if line["reason"] is None else f": {line['reason']}"
    by = f"{line['actor']} ({line['source']})"
    text = f"{line['timestamp']}  {line['id']}  {by}  {line['action']} {whom}".rstrip() + why
    return "".join(one if one.isprintable() else "?" for one in text)  # others wrote it


def _follow(client: ApiClient, hostname: str, href: str) -> None:
    """Look what becomes of a reset; raise ApiProblem where it came to nothing."""
    until = time.monotonic() + FOLLOW_SECONDS
    while True:
        seen = client.get(href)
        if seen["phase"] in FINISHED:
            break
        if time.monotonic() > until:
            raise ApiProblem(f"it is still under way; look again at {href}")
        time.sleep(LOOK_EVERY_SECONDS)
    if seen["success"]:
        typer.echo(f"Reset command sent to {hostname}; its next heartbeat proves whether it helped")
        return
    reason = "" if seen["cancelledBy"] is None else f" ({seen['cancelledBy']})"
    raise ApiProblem(f"{hostname}: {seen['phase']}: {seen['error']}{reason}")


def _say(answer: dict[str, Any]) -> None:
    typer.echo(answer["message"])
