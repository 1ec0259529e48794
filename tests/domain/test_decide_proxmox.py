"""The fourth group of reasons: what Proxmox says, asked freshly. A person does not pass these."""

from typing import Any

import pytest

from defib_core.domain.decide import Case, Hold, decide
from defib_core.domain.observation import LookFailure
from defib_core.domain.reasons import HoldReason
from support.cases import (
    NOW,
    UUID,
    after,
    guest,
    identity,
    manual,
    reason_of,
    safety,
    seen,
    treated,
)

OTHER_UUID = "11111111-2222-3333-4444-555555555555"
TURNED_UUID = "44454c4c-4200-1035-8052-b4c04f4e4d32"

ASKED_IN_VAIN = (
    HoldReason.PROXMOX_UNREACHABLE,
    HoldReason.PROXMOX_FORBIDDEN,
    HoldReason.VM_NOT_FOUND,
    HoldReason.NODE_OFFLINE,
)
STOPPED: dict[str, Any] = {"running": False, "qmpstatus": "stopped", "started_at": None}

ROWS: list[tuple[str, Case, HoldReason | None]] = [
    ("its node is offline", guest(node_online=False), HoldReason.NODE_OFFLINE),
    ("nobody knows of its node", guest(node_online=None), HoldReason.NODE_OFFLINE),
    ("a container", guest(is_qemu=False), HoldReason.NOT_QEMU),
    ("a template", guest(template=True), HoldReason.TEMPLATE),
    ("another UUID", guest(smbios_uuid=OTHER_UUID), HoldReason.IDENTITY_MISMATCH),
    ("the same UUID in capitals", guest(smbios_uuid=UUID.upper()), None),
    ("the same UUID under another name", guest(name="renamed"), None),
    ("a UUID read with its bytes turned around", guest(smbios_uuid=TURNED_UUID), None),
    ("no UUID any more, the same name", guest(smbios_uuid=None), HoldReason.IDENTITY_MISMATCH),
    ("its reports come from it", identity(reported_uuid=UUID), None),
    (
        "its reports come from another machine",
        identity(reported_uuid=OTHER_UUID),
        HoldReason.IDENTITY_MISMATCH,
    ),
    (
        "its reports come from another machine, and nothing is pinned",
        identity(reported_uuid=OTHER_UUID, pinned_uuid=None),
        None,
    ),
    (
        "switched off, as the list says, whoever it is",
        guest(asked=False, smbios_uuid=None, name="db-01", **STOPPED),
        HoldReason.VM_STOPPED,
    ),
    (
        "no UUID pinned, another name",
        guest(identity(pinned_uuid=None), name="db-01"),
        HoldReason.IDENTITY_MISMATCH,
    ),
    (
        "no UUID pinned, the name in capitals and with a domain",
        guest(identity(pinned_uuid=None), name="WEB-01.lan"),
        None,
    ),
    (
        "no UUID pinned, the name that its spec gives",
        guest(identity(pinned_uuid=None, proxmox_name="prod-web"), name="prod-web"),
        None,
    ),
    (
        "no UUID pinned, its host name where its spec gives another",
        identity(pinned_uuid=None, proxmox_name="prod-web"),
        HoldReason.IDENTITY_MISMATCH,
    ),
    ("nothing to compare", guest(identity(pinned_uuid=None), name=None), None),
    ("another UUID where nobody asks", guest(safety(identity_check=False), smbios_uuid="x"), None),
    ("switched off", guest(**STOPPED), HoldReason.VM_STOPPED),
    ("switched off by us", guest(after(owes_start=True), **STOPPED), None),
    (
        "switched off by us, and HA's by now",
        guest(after(owes_start=True), ha_state="started", **STOPPED),
        HoldReason.VM_STOPPED,
    ),
    ("locked", guest(lock="backup"), HoldReason.VM_LOCKED),
    (
        "locked while it is to be started",
        guest(after(owes_start=True), lock="migrate", **STOPPED),
        HoldReason.VM_LOCKED,
    ),
    ("an empty lock", guest(lock=""), None),
    ("HA has it started", guest(ha_state="started"), None),
    ("HA ignores it", guest(ha_state="ignored"), None),
    (
        "to be started, and no quorum",
        guest(reset_switches_off=True, quorate=False),
        HoldReason.NO_QUORUM,
    ),
    (
        "to be started, and nobody knows of a quorum",
        guest(reset_switches_off=True, quorate=None),
        HoldReason.NO_QUORUM,
    ),
    ("a reset needs no quorum", guest(quorate=False), None),
    ("io-error for the first time", guest(qmpstatus="io-error"), None),
    (
        "io-error again after a resume",
        guest(after(resumed_io_error=True), qmpstatus="io-error"),
        HoldReason.STORAGE_ERROR,
    ),
    ("its run state not shown", guest(qmpstatus=None), None),
]


def named(case: Case, name: str) -> Case:
    """A row's case, failing the collection where two rows share a name."""
    assert [row[0] for row in ROWS].count(name) == 1
    return case


@pytest.mark.parametrize(
    ("case", "reason"),
    [pytest.param(named(case, name), reason, id=name) for name, case, reason in ROWS],
)
@pytest.mark.parametrize("by_hand", [False, True], ids=["by itself", "by hand"])
def test_proxmox_says_no(case: Case, reason: HoldReason | None, *, by_hand: bool) -> None:
    assert reason_of(manual(case) if by_hand else case) is reason


@pytest.mark.parametrize("reason", ASKED_IN_VAIN)
@pytest.mark.parametrize("by_hand", [False, True], ids=["by itself", "by hand"])
def test_what_could_not_be_read_holds(reason: HoldReason, *, by_hand: bool) -> None:
    case = seen(guest=LookFailure(reason, "Proxmox says so"))
    assert decide(manual(case) if by_hand else case, NOW) == Hold(reason, "Proxmox says so")


@pytest.mark.parametrize(
    "run_state",
    [
        "paused",
        "prelaunch",
        "suspended",
        "debug",
        "inmigrate",
        "postmigrate",
        "finish-migrate",
        "save-vm",
        "restore-vm",
        "colo",
        "a word of a later QEMU",
    ],
)
def test_a_guest_halted_on_purpose_is_left_alone(run_state: str) -> None:
    assert decide(guest(qmpstatus=run_state), NOW) == Hold(
        HoldReason.VM_PAUSED, f"its run state in Proxmox is {run_state}"
    )


@pytest.mark.parametrize(
    "ha_state",
    [
        "error",
        "fence",
        "recovery",
        "freeze",
        "migrate",
        "relocate",
        "request_stop",
        "request_start",
        "queued",
        "stopped",
        "disabled",
        "a word of a later HA",
    ],
)
def test_where_ha_is_about_to_act_defib_does_not(ha_state: str) -> None:
    assert decide(guest(ha_state=ha_state), NOW) == Hold(
        HoldReason.HA_IN_TRANSITION, f"its HA state is {ha_state}"
    )


def test_a_mismatch_says_how_to_settle_it() -> None:
    verdict = decide(guest(identity(pinned_uuid=None), name="db-01"), NOW)
    assert verdict == Hold(
        HoldReason.IDENTITY_MISMATCH,
        "VMID 100 is called db-01 in Proxmox, not web-01; if that is right, set spec.proxmoxName",
    )


def test_a_container_is_not_compared_with_the_vm_it_replaced() -> None:
    assert reason_of(guest(is_qemu=False, name="ct", smbios_uuid=None)) is HoldReason.NOT_QEMU
    assert reason_of(treated(guest(template=True, name="x"), steps=())) is HoldReason.TEMPLATE
