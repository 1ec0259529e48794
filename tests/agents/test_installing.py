"""install.sh in a Debian of its own, made by debootstrap: install, run, upgrade, uninstall.

The API is real, and so is the account the agent runs under. systemd is installed there and does not
run: enabling a unit is seen, starting it is not; the agent is started as its unit would.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from support.folders import server_folder
from support.running_api import RunningApi, running_api

AGENT = Path(__file__).parents[2] / "agents" / "linux" / "linux-agent.sh"
DEBIAN, PACKAGES = "bookworm", "curl,ca-certificates,systemd"
HOST = "guest-in-a-chroot"
ROOT_ONLY = "installing is tested in a chroot, which needs root: sudo make test SUITES=agents"


@pytest.fixture(scope="module")
def debian() -> Iterator[Path]:
    """A minimal Debian."""
    program = shutil.which("debootstrap") or "/usr/sbin/debootstrap"
    if not Path(program).exists():
        pytest.fail("debootstrap is not on this machine; get it with: apt-get install debootstrap")
    if os.geteuid() != 0:
        pytest.fail(ROOT_ONLY)
    with server_folder("debian") as folder:
        root = folder / "root"
        made = subprocess.run(
            [program, "--variant=minbase", f"--include={PACKAGES}", DEBIAN, str(root)],
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        log = root / "debootstrap" / "debootstrap.log"
        said = log.read_text()[-1500:] if log.exists() else ""
        assert made.returncode == 0, f"debootstrap could not fetch: {made.stdout[-500:]}{said}"
        # The chroot sees this machine's kernel, and with it /proc.
        mounted = subprocess.run(["mount", "-t", "proc", "proc", str(root / "proc")], check=False)
        assert mounted.returncode == 0
        try:
            yield root
        finally:
            subprocess.run(["umount", str(root / "proc")], check=True)


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[RunningApi]:
    async with running_api(database_url, None) as running:
        yield running


async def in_debian(root: Path, command: str) -> tuple[int, str]:
    """Run a shell command there; its code and all it said."""
    process = await asyncio.create_subprocess_exec(
        *("chroot", str(root), "sh", "-c", command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode is not None
    return process.returncode, out.decode(errors="replace")


def listing(root: Path) -> list[str]:
    """The agent's files there, with their modes and owners."""
    found = []
    for name in (
        "opt/healthcheck/linux-agent.sh",
        "etc/defib/agent.conf",
        "etc/defib/agent.key",
        "etc/systemd/system/defib-agent.service",
        "etc/systemd/system/multi-user.target.wants/defib-agent.service",
    ):
        path = root / name
        if path.is_symlink() or path.exists():
            at = path.lstat()
            found.append(f"{name} {at.st_mode & 0o777:o} {at.st_uid != 0}")
    return found


async def test_install_upgrade_and_uninstall(debian: Path, api: RunningApi) -> None:
    server = f"http://127.0.0.1:{api.port}"
    fetched = f"curl -fsS {server}/install.sh | sh -s --"
    (debian / "root/key").write_text(api.agent_key)
    options = f"--key-file /root/key --vmid 4711 --hostname {HOST}"

    # Without a key it says what is missing, and changes nothing.
    code, said = await in_debian(debian, fetched)
    assert code == 1, said
    assert "no key and no enrolment token" in said
    code, said = await in_debian(debian, f"{fetched} --dry-run {options}")
    assert code == 0, said
    assert "making the account defib-agent" in said
    assert "dry run: nothing was changed" in said
    assert listing(debian) == []

    # A real install: the first report is accepted, under the account of the agent.
    code, said = await in_debian(debian, f"{fetched} {options}")
    assert code == 0, said
    assert "the first report was accepted" in said
    assert api.agent_key not in said
    assert listing(debian) == [
        "opt/healthcheck/linux-agent.sh 755 False",
        "etc/defib/agent.conf 644 False",
        "etc/defib/agent.key 600 True",
        "etc/systemd/system/defib-agent.service 644 False",
        "etc/systemd/system/multi-user.target.wants/defib-agent.service 777 False",
    ]
    [vm] = (await api.get("/api/vms")).json()
    assert (vm["hostname"], vm["vmid"]) == (HOST, "4711")

    # Again: nothing to do. A damaged agent is put right, and settings stay.
    code, said = await in_debian(debian, f"{fetched} {options}")
    assert code == 0, said
    assert "unchanged" in said
    (debian / "opt/healthcheck/linux-agent.sh").write_text("#!/bin/sh\nversion=0.0.1\n")
    settings = (debian / "etc/defib/agent.conf").read_text()
    code, said = await in_debian(debian, f"{fetched} --upgrade")
    assert code == 0, said
    assert (debian / "opt/healthcheck/linux-agent.sh").read_bytes() == AGENT.read_bytes()
    assert (debian / "etc/defib/agent.conf").read_text() == settings

    # What arrives must be what the server promised.
    forged = f"curl -fsS {server}/install.sh | sed 's/^agent_sha256=.*/agent_sha256=0000/' | sh"
    code, said = await in_debian(debian, forged)
    assert code == 1, said
    assert "not the one the server promised" in said

    # A refused first report is said, and the agent is installed all the same.
    code, said = await in_debian(debian, f"{fetched} --hostname no..name --vmid 4711")
    assert code == 3, said
    assert "the first report was not accepted" in said

    code, said = await in_debian(debian, f"{fetched} --uninstall")
    assert code == 0, said
    assert listing(debian) == []
    assert not (debian / "etc/defib").exists()
    assert not (debian / "opt/healthcheck").exists()
    code, said = await in_debian(debian, f"{fetched} --uninstall; id defib-agent")
    assert "unchanged: no agent is installed" in said
    assert "no such user" in said


async def test_an_enrolment_token_becomes_a_key_and_without_systemd_cron_starts_it(
    debian: Path, api: RunningApi
) -> None:
    server = f"http://127.0.0.1:{api.port}"
    wish = {"name": "test", "cluster": "default", "minutes": 10, "uses": 1}
    made = await api.http.post("/api/enrolment-tokens", json=wish, headers=api.admin)
    assert made.is_success, made.text
    (debian / "root/header").write_text(f"X-Enrolment-Token: {made.json()['token']}")
    fetched = f"curl -fsS -H @/root/header {server}/install.sh | sh -s --"
    options = f"--service cron --vmid 4712 --hostname {HOST} --interval 1"

    code, said = await in_debian(debian, f"{fetched} {options}")
    assert code == 0, said
    assert "enrolling at" in said
    assert "the first report was accepted" in said
    key = (debian / "etc/defib/agent.key").read_text().strip()
    assert key not in said + made.text
    line = (debian / "etc/cron.d/defib-agent").read_text().splitlines()[-1]
    assert line.startswith("* * * * * root ")
    command = line.removeprefix("* * * * * root ")
    # The enrolment token is used up: another machine is told so, and this one keeps its key.
    code, said = await in_debian(debian, f"{fetched} {options} --re-enrol")
    assert code == 1
    assert "unknown, expired or used up" in said
    assert (debian / "etc/defib/agent.key").read_text().strip() == key
    # What cron would do, twice: the second finds the first and ends.
    code, said = await in_debian(debian, f"({command}) & sleep 3; {command}; echo second: $?")
    assert "second: 0" in said
    code, said = await in_debian(debian, f"{fetched} --uninstall")
    assert code == 0, said
    assert "ending the agent" in said
    assert not (debian / "etc/cron.d/defib-agent").exists()
