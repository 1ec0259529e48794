"""Settings, task names, endpoint order and parsing: pure, no network."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from defib_core.domain.actions import PowerStep
from defib_operator.proxmox import (
    Accepted,
    Finished,
    GuestKind,
    GuestLook,
    OutcomeUnknown,
    PowerStatus,
    ProxmoxGarbage,
    ProxmoxMisconfigured,
    ProxmoxSettings,
    Running,
    Unknown,
    Upid,
    parse,
)
from defib_operator.proxmox.endpoints import EndpointOrder
from defib_operator.proxmox.outcomes import outcome_of_answer
from defib_operator.proxmox.rights import token_rights
from defib_operator.proxmox.settings import host_and_port

UPID = "UPID:pve1:0001A2B3:0C0FFEE0:6741E2A0:qmreset:100:defib@pve!operator:"


def settings(**others: Any) -> ProxmoxSettings:  # noqa: ANN401 - any field
    given: dict[str, Any] = {
        "endpoints": ("pve1",),
        "token_id": "a@pve!b",
        "token_secret": "hidden-value",
    }
    return ProxmoxSettings(**(given | others))


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("pve1", ("pve1", 8006)),
        ("pve1.example.org:443", ("pve1.example.org", 443)),
        ("https://pve1", ("pve1", 8006)),
        ("https://pve1:8443/", ("pve1", 8443)),
        ("192.0.2.7:8006", ("192.0.2.7", 8006)),
        ("[2001:db8::1]:8443", ("2001:db8::1", 8443)),
        ("https://[2001:db8::1]", ("2001:db8::1", 8006)),
    ],
)
def test_an_endpoint_is_a_host_with_or_without_port(
    endpoint: str, expected: tuple[str, int]
) -> None:
    assert host_and_port(endpoint) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoints": ()},
        {"endpoints": ("",)},
        {"endpoints": ("http://pve1:8006",)},
        {"endpoints": ("https://pve1:8006/api2/json",)},
        {"endpoints": ("https://root@pve1",)},
        {"endpoints": ("pve1:eight",)},
        {"token_id": "root@pam"},
        {"token_id": "root!name"},
        {"token_id": "root@pam!"},
        {"token_secret": "  "},
    ],
)
def test_settings_that_cannot_work_are_refused_when_made(wrong: dict[str, object]) -> None:
    with pytest.raises(ProxmoxMisconfigured):
        settings(**wrong)


def test_the_secret_is_not_in_the_repr() -> None:
    assert "hidden-value" not in repr(settings())


def test_a_upid_is_read_with_its_token() -> None:
    upid = Upid.parse(UPID)
    assert upid is not None
    assert (upid.node, upid.task_type, upid.task_id) == ("pve1", "qmreset", "100")
    assert upid.user == "defib@pve!operator"
    assert upid.started_at == datetime.fromtimestamp(0x6741E2A0, tz=UTC)
    assert str(upid) == UPID


def test_a_upid_may_have_a_long_pstart_and_no_id() -> None:
    upid = Upid.parse("UPID:pve-1:0001A2B3:10C0FFEE0:6741E2A0:aptupdate::root@pam:")
    assert upid is not None
    assert upid.task_id == ""


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        {},
        "",
        "OK",
        UPID[:-1],
        UPID + "x",
        UPID.replace("0001A2B3", "1"),
        UPID.replace("pve1", "../x"),
        UPID + "\n",
    ],
)
def test_what_is_no_upid_is_none(text: object) -> None:
    assert Upid.parse(text) is None


@pytest.mark.parametrize(
    ("upid", "step"),
    [
        (UPID, PowerStep.RESET),
        (UPID.replace("qmreset", "qmstop"), PowerStep.STOP),
        (UPID.replace("qmreset", "hastop"), PowerStep.STOP),
        (UPID.replace("qmreset", "hastart"), PowerStep.START),
        (UPID.replace("qmreset", "qmresume"), PowerStep.RESUME),
    ],
)
def test_a_task_of_this_vm_and_step_is_accepted(upid: str, step: PowerStep) -> None:
    assert isinstance(outcome_of_answer(upid, vmid=100, step=step), Accepted)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "",
        "OK",
        {},
        UPID.replace(":100:", ":101:"),
        UPID.replace("qmreset", "qmstop"),
        UPID.replace("qmreset", "vzreboot"),
    ],
)
def test_any_other_answer_is_unknown(answer: object) -> None:
    assert isinstance(outcome_of_answer(answer, vmid=100, step=PowerStep.RESET), OutcomeUnknown)


def test_the_node_in_question_is_asked_through_another_one() -> None:
    order = EndpointOrder(("https://pve1.example.org", "pve2", "192.0.2.3"))
    assert order.for_node("pve1") == ("pve2", "192.0.2.3", "https://pve1.example.org")
    assert order.for_node(None)[0] == "https://pve1.example.org"
    order.answered("pve2")
    assert order.for_node(None) == ("pve2", "https://pve1.example.org", "192.0.2.3")
    assert order.for_node("pve2")[-1] == "pve2"


def test_which_node_an_address_is_can_be_learnt() -> None:
    order = EndpointOrder(("192.0.2.1", "192.0.2.2"))
    assert order.for_node("pve1")[0] == "192.0.2.1"
    order.learn("192.0.2.1", "pve1")
    assert order.for_node("pve1") == ("192.0.2.2", "192.0.2.1")


def test_a_row_of_the_inventory_says_no_more_than_it_was_told() -> None:
    (vm,) = parse.inventory_vms([{"vmid": "100", "node": "pve1", "type": "oci", "status": "?"}])
    assert (vm.vmid, vm.kind, vm.status) == (100, GuestKind.UNKNOWN, PowerStatus.UNKNOWN)
    assert (vm.name, vm.lock, vm.ha_state, vm.template) == (None, None, None, False)


@pytest.mark.parametrize(
    "data",
    [None, {}, "x", [None], [{"vmid": 100}], [{"node": "pve1"}], [{"vmid": "x", "node": "n"}]],
)
def test_a_list_of_another_shape_is_garbage(data: object) -> None:
    with pytest.raises(ProxmoxGarbage):
        parse.inventory_vms(data)


def test_a_node_of_unknown_status_is_neither_on_nor_off() -> None:
    data = [{"node": "a", "status": "online"}, {"node": "b", "status": "unknown"}, {"node": "c"}]
    assert parse.nodes(data) == {"a": True, "b": None, "c": None}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([{"type": "cluster", "quorate": 1}, {"type": "node"}], True),
        ([{"type": "cluster", "quorate": 0}], False),
        ([{"type": "cluster"}], None),
        ([{"type": "node", "name": "pve1"}], True),
        ([], None),
    ],
)
def test_quorum_is_read_or_left_open(data: object, expected: bool | None) -> None:
    assert parse.quorate(data) is expected


def look_with(config: dict[str, object], status: dict[str, object] | None = None) -> GuestLook:
    return parse.guest_look("pve1", 100, status or {}, config)


@pytest.mark.parametrize(
    ("config", "is_configured"),
    [
        ({}, False),
        ({"agent": "0"}, False),
        ({"agent": "1"}, True),
        ({"agent": 1}, True),
        ({"agent": "enabled=1,fstrim_cloned_disks=1"}, True),
        ({"agent": "1,type=virtio"}, True),
        ({"agent": "fstrim_cloned_disks=1,enabled=0"}, False),
        ({"agent": "type=isa"}, False),
    ],
)
def test_the_agent_option_has_many_forms(config: dict[str, object], is_configured: bool) -> None:
    assert look_with(config).agent_configured is is_configured


@pytest.mark.parametrize(
    ("config", "is_off_after"),
    [
        ({}, False),
        ({"reboot": 1}, False),
        ({"reboot": 0}, True),
        ({"reboot": "0"}, True),
        ({"amd-sev": "type=snp"}, True),
        ({"intel-tdx": "type=tdx"}, True),
        ({"args": "-no-reboot"}, True),
        ({"args": "-action reboot=shutdown"}, True),
        ({"args": "-cpu host,-no-reboot-x"}, False),
    ],
)
def test_what_a_reset_would_switch_off_is_read(
    config: dict[str, object], is_off_after: bool
) -> None:
    assert look_with(config).reset_switches_off is is_off_after


def test_the_smbios_uuid_is_read_whatever_stands_beside_it() -> None:
    text = "9F0C2A52-58A1-4C0E-9D1F-7D35A1E1C001"
    for value in (f"uuid={text}", f"base64=1,serial=eA==,uuid={text}", f"uuid={text.lower()}"):
        assert look_with({"smbios1": value}).smbios_uuid == UUID(text)
    assert look_with({"smbios1": "uuid=rubbish"}).smbios_uuid is None
    assert look_with({}).smbios_uuid is None


def test_what_a_look_was_not_told_is_unknown() -> None:
    look = look_with({})
    assert look.power is PowerStatus.UNKNOWN
    assert (look.qmpstatus, look.ha_managed, look.uptime_seconds) == (None, None, None)
    assert look.counters.disk_read is None


def test_a_lock_is_seen_in_either_place() -> None:
    assert look_with({"lock": "backup"}).lock == "backup"
    assert look_with({}, {"lock": "migrate"}).lock == "migrate"
    assert look_with({}, {"lock": ""}).lock is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"status": "running"}, Running()),
        ({"status": "stopped", "exitstatus": "OK"}, Finished("OK", ok=True)),
        ({"status": "stopped", "exitstatus": "WARNINGS: 12"}, Finished("WARNINGS: 12", ok=True)),
        ({"status": "stopped", "exitstatus": "WARNINGS: x"}, Finished("WARNINGS: x", ok=False)),
        ({"status": "stopped", "exitstatus": "OK?"}, Finished("OK?", ok=False)),
    ],
)
def test_a_task_is_judged_by_proxmoxs_own_rule(data: object, expected: object) -> None:
    assert parse.task_state(data) == expected


@pytest.mark.parametrize("data", [{}, {"status": "stopped"}, {"status": "odd", "exitstatus": "OK"}])
def test_an_unreadable_task_is_unknown(data: object) -> None:
    assert isinstance(parse.task_state(data), Unknown)


def test_rights_that_vms_do_not_inherit_do_not_count() -> None:
    rights = token_rights({"/vms": {"VM.Audit": 0, "VM.PowerMgmt": 1}})
    assert not rights.allows("VM.Audit", 100)
    assert rights.allows("VM.PowerMgmt", 100)


def test_the_older_right_to_ping_is_as_good() -> None:
    rights = token_rights({"/vms": {"VM.Monitor": 1}})
    assert not any("guest agent" in sentence for sentence in rights.missing)
