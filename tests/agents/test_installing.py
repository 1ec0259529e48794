"""install.sh in a Debian of its own, made by debootstrap: install, run, upgrade, uninstall.

The API is real, and so is the account the agent runs under. systemd is installed there and does not
run: enabling a unit is seen, starting it is not (`real_guest/test_systemd.py` does); the agent is
started as its unit would.
"""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from agents.linux_agent import AGENT
from support.debian_root import debian_root, in_debian, listing
from support.running_api import RunningApi, running_api
from support.waiting import eventually_async

HOST = "guest-in-a-chroot"
# The first test waits for a Debian to be fetched and unpacked.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def debian() -> Iterator[Path]:
    """A minimal Debian, for all tests of this file: each leaves it without an agent."""
    with debian_root("ca-certificates,curl,openrc,systemd") as root:
        yield root


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[RunningApi]:
    async with running_api(database_url, None) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Fetching:
    """What is typed in that Debian to get and run the installer."""

    root: Path
    api: RunningApi

    @property
    def server(self) -> str:
        return f"http://127.0.0.1:{self.api.port}"

    async def install(self, options: str, token: str = "") -> tuple[int, str]:
        """Fetch the installer, with a token in the header, and run it."""
        (self.root / "root/header").write_text(f"X-Enrolment-Token: {token}" if token else "")
        fetched = f"curl -fsS -H @/root/header {self.server}/install.sh"
        return await in_debian(self.root, f"{fetched} | sh -s -- {options}")

    async def token(self, **wishes: object) -> str:
        """Make an enrolment token."""
        wish = {"name": "test", "cluster": "default", "minutes": 10, "uses": 1, **wishes}
        made = await self.api.http.post("/api/enrolment-tokens", json=wish, headers=self.api.admin)
        assert made.is_success, made.text
        token: str = made.json()["token"]
        return token


@pytest.fixture
async def fetching(debian: Path, api: RunningApi) -> AsyncIterator[Fetching]:
    """Afterwards nothing is left of what a test installed, whatever came of it."""
    here = Fetching(debian, api)
    yield here
    await here.install("--uninstall")


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
    assert "in place of 0.0.1" in said
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

    code, said = await in_debian(debian, f"{fetched} --uninstall --dry-run")
    assert "(dry run) removing /etc/defib" in said
    assert "defib: removed" not in said
    assert len(listing(debian)) == 5
    code, said = await in_debian(debian, f"{fetched} --uninstall")
    assert code == 0, said
    assert listing(debian) == []
    assert not (debian / "etc/defib").exists()
    assert not (debian / "opt/healthcheck").exists()
    code, said = await in_debian(debian, f"{fetched} --uninstall; id defib-agent")
    assert "unchanged: no agent is installed" in said
    assert "no such user" in said


async def test_an_enrolment_token_becomes_a_key_and_without_systemd_cron_starts_it(
    debian: Path, fetching: Fetching
) -> None:
    token = await fetching.token()
    options = f"--service cron --vmid 4712 --hostname {HOST} --interval 1"

    code, said = await fetching.install(options, token)
    assert code == 0, said
    assert "enrolling at" in said
    assert "the first report was accepted" in said
    key = (debian / "etc/defib/agent.key").read_text().strip()
    assert key not in said
    assert token not in said
    line = (debian / "etc/cron.d/defib-agent").read_text().splitlines()[-1]
    assert line.startswith("* * * * * root ")
    command = line.removeprefix("* * * * * root ")
    # The enrolment token is used up: another machine is told so, and this one keeps its key.
    code, said = await fetching.install(f"{options} --re-enrol", token)
    assert code == 1
    assert "unknown, expired or used up" in said
    assert (debian / "etc/defib/agent.key").read_text().strip() == key
    # A new key for the same VM, whose number and name are known by now; not while one is in use.
    another = await fetching.token()
    code, said = await fetching.install("--service cron --re-enrol", another)
    assert code == 1
    assert "this VM has a key already: VM 4712 holds a token" in said
    revoke = re.search(r"defib token revoke (agent_token_\d+)", said)
    assert revoke is not None
    gone = await fetching.api.http.delete(
        f"/api/agent-tokens/{revoke[1]}", headers=fetching.api.admin
    )
    assert gone.is_success, gone.text
    code, said = await fetching.install("--service cron --re-enrol", another)
    assert code == 0, said
    assert (debian / "etc/defib/agent.key").read_text().strip() != key
    assert len((await fetching.api.get("/api/vms")).json()) == 1
    # What cron would do, twice: the second finds the first and ends.
    code, said = await in_debian(debian, f"({command}) & sleep 3; {command}; echo second: $?")
    assert "second: 0" in said
    code, said = await fetching.install("--uninstall")
    assert code == 0, said
    assert "ending the agent" in said
    assert not (debian / "etc/cron.d/defib-agent").exists()


async def test_what_goes_wrong_for_a_newcomer_is_said_in_a_line_and_changes_nothing(
    debian: Path, fetching: Fetching
) -> None:
    options = f"--vmid 4713 --hostname {HOST}"
    code, said = await fetching.install(options, "no-such-token")
    assert code == 1
    assert "the enrolment token is unknown, expired or used up; make a new one" in said
    assert "nothing was changed on this machine" in said
    # Outside of what the token may enrol: the server's own words, and not its JSON.
    code, said = await fetching.install(options, await fetching.token(vmidFrom=5000, vmidTo=5010))
    assert code == 1
    assert "enrolment was refused (403): " in said
    assert "{" not in said.splitlines()[-1]
    code, said = await fetching.install(f"--url http://127.0.0.1:9 {options}", "a-token")
    assert code == 1
    assert "cannot fetch http://127.0.0.1:9/agent/linux-agent.sh" in said
    # Neither an SMBIOS UUID, which only root of a VM sees, nor a number.
    code, said = await fetching.install(f"--hostname {HOST}", await fetching.token())
    assert code == 1
    assert "nothing says which VM this is" in said
    assert "give --vmid and its number in Proxmox" in said
    code, said = await fetching.install("--vmid one-hundred", "a-token")
    assert code == 2
    assert "--vmid must be the VM's number in Proxmox" in said
    code, said = await fetching.install("--upgrade", "a-token")
    assert code == 1
    assert "nothing to upgrade: no agent is installed here" in said
    assert listing(debian) == []
    code, said = await in_debian(debian, "id defib-agent")
    assert "no such user" in said


async def test_the_example_for_cloud_init_installs_the_agent_as_it_stands(
    debian: Path, fetching: Fetching
) -> None:
    given = (await fetching.api.get("/api/install")).json()
    text = given["cloudInit"].replace(given["placeholder"], await fetching.token())
    assert text.startswith("#cloud-config\n")
    config = yaml.safe_load(text)
    for file in config["write_files"]:
        path = debian / file["path"].lstrip("/")
        path.write_text(file["content"])
        path.chmod(int(file["permissions"], 8))
    # A machine of its own has a number in Proxmox or an SMBIOS UUID; the chroot has neither.
    install, clean = config["runcmd"]
    code, said = await in_debian(debian, f"{install} --vmid 4714 --hostname {HOST}; {clean}")
    assert "the first report was accepted" in said, said
    assert code == 0
    assert list((debian / "root").glob("defib-*")) == []
    assert (await fetching.install("--uninstall"))[0] == 0


async def test_where_cron_has_a_table_for_each_user_other_lines_stay(
    debian: Path, fetching: Fetching
) -> None:
    """As on Alpine: no /etc/cron.d."""
    (debian / "etc/cron.d").rename(debian / "etc/cron.d.away")
    table = debian / "etc/crontabs/root"
    table.parent.mkdir()
    table.write_text("0 3 * * * echo nightly\n")
    try:
        options = f"--service cron --vmid 4715 --hostname {HOST} --interval 1"
        code, said = await fetching.install(options, await fetching.token())
        assert code == 0, said
        assert "cron starts it within a minute" in said
        nightly, ours = table.read_text().splitlines()
        assert nightly == "0 3 * * * echo nightly"
        assert ours.startswith("* * * * * mkdir -p -m 0755 /run/defib /run/defib-agent && ")
        await in_debian(debian, f"({ours.removeprefix('* * * * * ')}) &")
        await eventually_async(
            lambda: reports_of(fetching.api, 3), what="reports", deadline_seconds=60
        )
        code, said = await fetching.install("--uninstall")
        assert code == 0, said
        assert "ending the agent" in said
        assert table.read_text() == "0 3 * * * echo nightly\n"
    finally:
        table.unlink()
        table.parent.rmdir()
        (debian / "etc/cron.d.away").rename(debian / "etc/cron.d")


async def reports_of(api: RunningApi, count: int) -> bool:
    [(stored,)] = await api.sql("SELECT count(*) FROM vm_metric")
    return int(stored) >= count


async def test_openrc_starts_it_stops_it_and_forgets_it(debian: Path, fetching: Fetching) -> None:
    options = f"--service openrc --vmid 4716 --hostname {HOST} --interval 1"
    code, said = await in_debian(debian, "mkdir -p /run/openrc && touch /run/openrc/softlevel")
    assert code == 0, said
    code, said = await fetching.install(options, await fetching.token())
    assert code == 0, said
    assert "it runs: rc-service defib-agent status" in said
    await eventually_async(lambda: reports_of(fetching.api, 3), what="reports", deadline_seconds=60)
    code, said = await in_debian(debian, "rc-service defib-agent status")
    assert code == 0, said
    # A second run finds all as it should be.
    code, said = await fetching.install(options)
    assert code == 0, said
    assert "unchanged" in said
    code, said = await fetching.install("--uninstall")
    assert code == 0, said
    assert "stopping and disabling the service defib-agent" in said
    assert not (debian / "etc/init.d/defib-agent").exists()
    assert not list((debian / "run").glob("defib-agent/pid"))
    states = await fetching.api.sql("SELECT status FROM vm_state")
    assert states == [("stopping",)]
