"""The agent's unit under a real systemd, installed in a Debian VM as a person would."""

import asyncio
import re
from dataclasses import dataclass

import pytest

from real_guest.systemd_guest import DEADLINE, SERVER, UUID, SystemdGuest, systemd_guest
from support.folders import server_folder
from support.running_api import RunningApi, running_api
from support.waiting import eventually_async

VMID = 150
CGROUP = "/sys/fs/cgroup/system.slice/defib-agent.service"
MEMORY_MOST = 15 * 2**20
"""Bytes, everything that the agent starts included: what agents/README.md promises of sh."""
EXPOSURE_MOST = 2.0
"""By systemd's own count of 0 to 10; `systemd-analyze security` says 9.6 of a unit without any."""
pytestmark = pytest.mark.timeout(1200)


@dataclass(frozen=True)
class Unit:
    """The agent's unit, as systemd and the kernel see it in the guest."""

    guest: SystemdGuest
    api: RunningApi

    async def installed(self) -> None:
        """Install it as the page says."""
        token = await new_enrolment(self.api)
        fetched = (
            "curl -fsS --retry 60 --retry-delay 1 --retry-all-errors"
            f" -H 'X-Enrolment-Token: {token}' {SERVER}/install.sh"
        )
        said = await self.guest.run(f"{fetched} | sh -s -- --vmid {VMID} --interval 3")
        assert "the first report was accepted" in said

    async def shown(self, name: str) -> str:
        """One of its properties."""
        return (await self.guest.run(f"systemctl show -P {name} defib-agent")).strip()

    async def until_reported(self, boot: str, status: str = "running") -> None:
        """Wait for a report that came after now, from that boot."""
        [(since,)] = await self.api.sql("SELECT clock_timestamp()")

        async def reported() -> bool:
            [found] = await self.api.sql(
                "SELECT s.last_heartbeat > %s, s.boot_id, s.status"
                " FROM vm v JOIN vm_state s ON s.vm_id = v.id WHERE v.vmid = %s",
                since,
                VMID,
            )
            return found == (True, boot, status)

        await eventually_async(
            reported, what=f"a report of boot {boot}, {status}", deadline_seconds=DEADLINE
        )


async def new_enrolment(api: RunningApi) -> str:
    wish = {"name": "test", "cluster": "default", "minutes": 10, "uses": 1}
    made = await api.http.post("/api/enrolment-tokens", json=wish, headers=api.admin)
    assert made.is_success, made.text
    token: str = made.json()["token"]
    return token


async def test_the_unit_from_install_to_uninstall(database_url: str) -> None:
    async with running_api(database_url, None) as api:
        with server_folder("systemd-guest") as folder, systemd_guest(folder, api.port) as guest:
            unit = Unit(guest, api)
            boot = await guest.booted(1)
            await unit.installed()
            await unit.until_reported(boot)
            await it_is_locked_in(unit)
            await it_comes_back_when_it_is_killed(unit, boot)
            await it_says_when_the_machine_goes_down_and_starts_with_it(unit)
            await nothing_is_left_of_it(unit)


async def it_is_locked_in(unit: Unit) -> None:
    """What the unit's file asks for is in force."""
    process = await unit.shown("MainPID")
    said = await unit.guest.run(f"cat /proc/{process}/status")
    account = int((await unit.guest.run("id -u defib-agent")).strip())
    status = dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)
    assert status["Uid"].split() == [str(account)] * 4
    assert account != 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd")} == {"0" * 16}
    inside = f"nsenter --mount --target {process} setpriv --reuid {account} --clear-groups"
    await unit.guest.run(f"{inside} touch /var/tmp/x /run/defib-agent/x")
    for closed in ("/opt/healthcheck/x", "/etc/x", "/home/x", "/run/defib/x"):
        assert "cannot touch" in await unit.guest.run(f"{inside} touch {closed}", code=1)
    owner = await unit.guest.run("stat -c '%a %U' /etc/defib/agent.key /run/defib/smbios-uuid")
    assert owner.splitlines() == ["600 defib-agent", "400 defib-agent"]
    [(uuid,)] = await unit.api.sql("SELECT smbios_uuid::text FROM vm WHERE vmid = %s", VMID)
    assert uuid == UUID
    exposure = await unit.guest.run("systemd-analyze security --no-pager defib-agent | tail -1")
    assert float(re.findall(r"\d+\.\d+", exposure)[0]) < EXPOSURE_MOST, exposure


async def it_comes_back_when_it_is_killed(unit: Unit, boot: str) -> None:
    """And is the same machine to Defib."""
    await unit.guest.run("kill -9 $(systemctl show -P MainPID defib-agent)")
    await unit.until_reported(boot)
    assert await unit.shown("NRestarts") == "1"
    peak = await unit.guest.run(f"cat {CGROUP}/memory.peak")
    assert int(peak) < MEMORY_MOST, peak


async def it_says_when_the_machine_goes_down_and_starts_with_it(unit: Unit) -> None:
    """An orderly reboot is told beforehand, so that nobody resets a machine that goes down."""
    went = asyncio.create_task(unit.until_reported(unit.guest.boots()[0], "stopping"))
    await unit.guest.run("systemctl --no-block reboot")
    await went
    boot = await unit.guest.booted(2)
    await unit.until_reported(boot)


async def nothing_is_left_of_it(unit: Unit) -> None:
    """No file, no account, no unit."""
    said = await unit.guest.run(f"curl -fsS {SERVER}/install.sh | sh -s -- --uninstall")
    assert "defib: removed" in said
    assert await unit.shown("LoadState") == "not-found"
    await unit.guest.run("ls -d /etc/defib /opt/healthcheck /run/defib /run/defib-agent", code=2)
    await unit.guest.run("id defib-agent", code=1)
