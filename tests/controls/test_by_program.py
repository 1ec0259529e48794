"""Each control through the program `defib`, started as a person starts it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controls.program import Program, program_for
from defib_core.domain.actions import Phase
from defib_dev.components.certificates import Authority
from defib_dev.components.ports import free_port
from support.running_api import RunningApi, running_api
from support.stand_in_operator import cancels, finishes, operator_that


@pytest.fixture(scope="module")
async def api(module_database_url: str) -> AsyncIterator[RunningApi]:
    """One API for all tests of this module; each test has VMs of its own."""
    async with running_api(module_database_url, None, manual_reset_wait_seconds=1.0) as running:
        yield running


@pytest.fixture
def defib(api: RunningApi, tmp_path: Path) -> Program:
    return program_for(api, tmp_path)


async def last_deed(api: RunningApi) -> dict[str, Any]:
    line: dict[str, Any] = (await api.get("/api/audit", limit=1)).json()[0]
    return line


async def manage(api: RunningApi, vmid: int) -> None:
    """Let a VirtualMachine stand for it; else it is never reset."""
    await api.report(vmid=vmid, hostname=f"web-{vmid}")
    await api.sql(
        f"UPDATE vm SET uid = 'u-{vmid}', namespace = 'defib', name = 'web-{vmid}'"
        f" WHERE vmid = {vmid}"
    )


async def shown(api: RunningApi, hostname: str) -> dict[str, Any]:
    vms: list[dict[str, Any]] = (await api.get("/api/vms")).json()
    return next(vm for vm in vms if vm["hostname"] == hostname)


async def test_pausing_and_ending_it(api: RunningApi, defib: Program) -> None:
    await api.report(vmid=200, hostname="web-200")
    paused = await defib("pause", "web-200", "--reason", "Kim: disk", "--for", "1h30m")
    assert paused.code == 0, paused.err
    assert "web-200 is paused until" in paused.out
    assert "one more full stale timeout" in paused.out
    deed = await last_deed(api)
    assert (deed["actor"], deed["source"], deed["action"], deed["reason"]) == (
        "alice",
        "cli",
        "Pause",
        "Kim: disk",
    )
    assert (await shown(api, "web-200"))["paused"] is True

    ended = await defib("unpause", "web-200", "--reason", "done")
    assert (ended.code, "has ended" in ended.out) == (0, True)
    assert (await shown(api, "web-200"))["paused"] is False
    assert (await last_deed(api))["reason"] == "done"
    again = await defib("unpause", "web-200")
    assert (again.code, again.out) == (0, "web-200 was not paused\n")


async def test_a_pause_until_a_moment(api: RunningApi, defib: Program) -> None:
    await api.report(vmid=201, hostname="web-201")
    paused = await defib("pause", "web-201", "--reason", "x", "--until", "2100-01-31T06:00:00Z")
    assert "until 2100-01-31T06:00:00Z" in paused.out


@pytest.mark.parametrize("name", ["WEB-202", "202", "object-202"])
async def test_a_vm_is_found_by_each_of_its_names(
    api: RunningApi, defib: Program, name: str
) -> None:
    await api.report(vmid=202, hostname="web-202")
    await api.sql(
        "UPDATE vm SET uid = 'u-202', namespace = 'defib', name = 'object-202' WHERE vmid = 202"
    )
    assert (await defib("pause", name, "--reason", "x")).code == 0
    vm_id = (await shown(api, "web-202"))["id"]
    assert (await defib("unpause", vm_id)).code == 0


async def test_a_name_that_several_have_is_refused_with_their_ids(
    api: RunningApi, defib: Program
) -> None:
    await api.report(vmid=203, hostname="twin")
    await api.report(vmid=204, hostname="twin")
    refused = await defib("pause", "twin", "--reason", "x")
    assert refused.code == 1
    assert "so give an id" in refused.err
    for vmid in ("203", "204"):
        assert f"VMID {vmid}" in refused.err


async def test_windows_are_added_listed_and_ended(api: RunningApi, defib: Program) -> None:
    await manage(api, 205)
    await api.sql('UPDATE vm SET labels = \'{"rack": "r205"}\' WHERE vmid = 205')
    added = await defib(
        *("maintenance", "add", "--label", "rack=r205", "--for", "2h"),
        *("--name", "fw-205", "--reason", "Kim: firmware"),
    )
    assert added.code == 0, added.err
    assert "fw-205: 1 VMs are in maintenance" in added.out
    assert "defib maintenance end fw-205" in added.out

    listed = await defib("maintenance", "list")
    for words in ("fw-205", "active", "rack=r205 (1 VMs)", "alice: Kim: firmware"):
        assert words in listed.out
    as_json = json.loads((await defib("maintenance", "list", "--json")).out)
    assert [one["name"] for one in as_json] == ["fw-205"]

    ended = await defib("maintenance", "end", "fw-205")
    assert (ended.code, "fw-205 has ended" in ended.out) == (0, True)
    assert (await defib("maintenance", "list")).out == "No window is open or to come.\n"
    missing = await defib("maintenance", "end", "fw-205")
    assert (missing.code, "no window 'fw-205'" in missing.err) == (1, True)


async def test_everything_is_stopped_and_let_go(api: RunningApi, defib: Program) -> None:
    stopped = await defib("stop", "--reason", "storage")
    assert (stopped.code, "Everything is stopped" in stopped.out) == (0, True)
    assert (await api.get("/api/global-stop")).json()["stopped"] is True
    gone = await defib("go")
    assert (gone.code, "one more full stale timeout" in gone.out) == (0, True)
    assert (await api.get("/api/global-stop")).json()["stopped"] is False


async def test_what_a_spec_stopped_is_not_ended_here(api: RunningApi, defib: Program) -> None:
    await api.sql(
        "INSERT INTO global_stop (config_id, reason, started_by, started_at)"
        " SELECT id, 'storage', 'kubectl', now() FROM system_config"
    )
    refused = await defib("go")
    await api.sql("DELETE FROM global_stop")
    assert refused.code == 1
    assert "spec.globalStop of defib/default" in refused.err
    assert "(StoppedInSpec)" in refused.err


async def test_a_clear(api: RunningApi, defib: Program) -> None:
    await api.report(vmid=206, hostname="web-206")
    await api.sql(
        "UPDATE vm_state SET state = 'reset_failed', reset_attempts = 3 FROM vm"
        " WHERE vm.id = vm_id AND vmid = 206"
    )
    cleared = await defib("clear", "web-206", "--reason", "new disk")
    assert (cleared.code, "3 attempts were counted, 0 are now" in cleared.out) == (0, True)
    assert (await shown(api, "web-206"))["state"] == "down"


async def test_a_reset_that_is_done(api: RunningApi, defib: Program) -> None:
    await manage(api, 207)
    async with operator_that(api.database_url, finishes(Phase.SUCCEEDED, None)):
        done = await defib("reset", "web-207", "--reason", "stuck", "--force")
    assert done.code == 0, done.err
    assert "Reset command sent to web-207; its next heartbeat" in done.out
    deed = await last_deed(api)
    assert (deed["action"], deed["source"], deed["detail"]["force"]) == ("Reset", "cli", True)


async def test_a_reset_that_is_held_says_why_and_fails(api: RunningApi, defib: Program) -> None:
    await manage(api, 208)
    held = cancels("VMLocked", "it is locked in Proxmox (backup)")
    async with operator_that(api.database_url, held):
        refused = await defib("reset", "web-208", "--reason", "stuck")
    assert refused.code == 1
    assert "web-208 was not reset: it is locked in Proxmox (backup) (VMLocked)" in refused.err


async def test_a_slow_reset_is_followed_to_its_end(api: RunningApi, defib: Program) -> None:
    await manage(api, 209)
    running = asyncio.create_task(defib("reset", "web-209", "--reason", "stuck"))
    # The API has answered 202 by the time its patience of a second is over.
    await asyncio.wait({running}, timeout=2.5)
    async with operator_that(api.database_url, finishes(Phase.FAILED, "VM is locked (migrate)")):
        done = await running
    assert (done.code, "is under way" in done.out) == (1, True)
    assert "web-209: failed: VM is locked (migrate)" in done.err


async def test_the_audit_log(api: RunningApi, defib: Program) -> None:
    await api.report(vmid=210, hostname="web-210")
    await defib("pause", "web-210", "--reason", "Kim: disk")
    await defib("unpause", "web-210")
    lines = (await defib("audit", "web-210")).out.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("alice (cli)  Unpause web-210")
    assert lines[1].endswith("alice (cli)  Pause web-210: Kim: disk")
    only = (await defib("audit", "web-210", "--action", "Pause", "--json")).out
    assert [one["action"] for one in json.loads(only)] == ["Pause"]
    wrong = await defib("audit", "--action", "Dance")
    assert (wrong.code, "action" in wrong.err) == (1, True)


async def test_explaining(api: RunningApi, defib: Program) -> None:
    await api.report(vmid=211, hostname="web-211")
    told = await defib("explain", "web-211")
    assert told.code == 0
    assert "web-211 is healthy since" in told.out
    as_json = json.loads((await defib("explain", "web-211", "--json")).out)
    assert as_json["verdict"]["message"] in told.out


# what can go wrong


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pause", "web"), "--reason"),
        (("pause", "web", "--reason", "x", "--for", "90s"), "no span of minutes"),
        (("pause", "web", "--reason", "x", "--for", "0m"), "no span of minutes"),
        (("pause", "web", "--reason", "x", "--for", "1h", "--until", "y"), "not both"),
        (("maintenance", "add", "--reason", "x", "--for", "1h"), "--all"),
        (("maintenance", "add", "--reason", "x", "--label", "a=b"), "how long"),
        (("maintenance", "add", "--reason", "x", "--for", "1h", "--label", "a"), "no label"),
    ],
)
async def test_a_wrong_command_is_refused_before_anything_is_asked(
    defib: Program, arguments: tuple[str, ...], words: str
) -> None:
    refused = await defib(*arguments)
    assert refused.code == 2
    assert words in " ".join(refused.err.split())


async def test_an_unknown_vm(defib: Program) -> None:
    refused = await defib("pause", "nobody", "--reason", "x")
    assert refused.code == 1
    assert refused.err.startswith("defib: there is no VM 'nobody'")


async def test_an_api_that_is_not_there(defib: Program) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    refused = await defib("explain", "x", "--api", nowhere)
    assert refused.code == 1
    assert refused.err.startswith(f"defib: cannot reach the API at {nowhere}: Connection refused")


async def test_a_token_that_is_wrong(defib: Program, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("defib_admin_wrong")
    refused = await defib("explain", "x", "--token-file", str(wrong))
    assert refused.code == 1
    assert "not valid: it is unknown, expired or revoked" in refused.err
    assert "defib_admin_wrong" not in refused.err + refused.out


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot read the token"), ("", "does not hold a token"), ("a\nb", "does not hold")],
)
async def test_a_token_file_that_holds_none(
    defib: Program, tmp_path: Path, content: str | None, words: str
) -> None:
    file = tmp_path / "other"
    if content is not None:
        file.write_text(content)
    refused = await defib("audit", "--token-file", str(file))
    assert (refused.code, words in refused.err) == (1, True)


async def test_what_is_not_configured_is_asked_for(defib: Program) -> None:
    assert "DEFIB_API_URL" in (await defib("audit", DEFIB_API_URL=None)).err
    assert "DEFIB_TOKEN_FILE" in (await defib("audit", DEFIB_TOKEN_FILE=None)).err
    typo = await defib("audit", DEFIB_TOKEN_FLIE="x")
    assert (typo.code, "DEFIB_TOKEN_FLIE is not a setting" in typo.err) == (2, True)


@pytest.mark.parametrize("url", ["defib.example.com", "ftp://x", "http://a:b@127.0.0.1"])
async def test_an_address_that_is_none(defib: Program, url: str) -> None:
    refused = await defib("audit", "--api", url)
    assert (refused.code, "is no address of an API" in refused.err) == (1, True)


async def answering(head: bytes) -> tuple[asyncio.Server, str]:
    """Something that listens and is not Defib."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\n<br>",
            "502 from http://127.0.0.1",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<br>", "the answer is not Defib's"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            "leads on to http://127.0.0.1:1/",
        ),
        (b"", "cannot reach the API"),
    ],
)
async def test_an_answer_that_is_not_defibs(defib: Program, head: bytes, words: str) -> None:
    server, url = await answering(head)
    async with server:
        refused = await defib("audit", "--api", url)
    assert (refused.code, words in refused.err) == (1, True), refused


async def test_a_certificate_nobody_vouches_for_is_refused(defib: Program, tmp_path: Path) -> None:
    import ssl  # noqa: PLC0415 - only here

    authority = Authority.ensure(tmp_path / "pki")
    pair = authority.server("api")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        refused = await defib("audit", "--api", url)
        ca = tmp_path / "ca.pem"
        ca.write_text(authority.pem)
        trusted = await defib("audit", "--api", url, "--ca-file", str(ca))

    assert refused.code == 1
    assert "is not trusted" in refused.err
    assert "--ca-file" in refused.err
    assert (trusted.code, trusted.out) == (0, "Nothing.\n"), trusted


async def test_seeing_who_is_signed_in_and_signing_people_out(
    api: RunningApi, defib: Program
) -> None:
    for _ in range(3):
        begun = await api.http.post("/api/session", headers=api.admin)
        assert begun.status_code == 200
        api.http.cookies.clear()
    listed = await defib("session", "list")
    assert listed.code == 0, listed.err
    assert listed.out.count("alice  administrator  with api_token_") == 3
    ended = await defib("session", "end", listed.out.split()[0])
    assert ended.out == "the session of alice is ended\n"
    assert (await defib("session", "end", "--name", "alice")).out == (
        "2 sessions of alice are ended\n"
    )
    assert (await defib("session", "list", "--name", "bob")).out == "bob is not signed in.\n"
    neither = await defib("session", "end")
    assert neither.code == 2
    unknown = await defib("session", "end", "session_999")
    assert (unknown.code, "there is no session" in unknown.err) == (1, True)
