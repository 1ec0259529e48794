"""What a token may do: the client's view of it, and the intersection with its owner's rights."""

import pytest

from defib_dev.proxmox_sim.access import ALL_PRIVILEGES, AccessControl, Token
from defib_operator.proxmox import ProxmoxClient, ProxmoxForbidden
from support.proxmox import TOKEN_ID, RunningSimulator

OWNER = TOKEN_ID.partition("!")[0]


async def test_a_token_with_all_rights_lacks_none(client: ProxmoxClient) -> None:
    rights = await client.token_rights()
    assert rights.missing == ()
    assert rights.allows("VM.PowerMgmt", 100)


async def test_a_token_without_rights_lacks_all_of_them_in_words(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.dc.access.revoke(TOKEN_ID)
    missing = (await client.token_rights()).missing
    assert len(missing) == 4
    for privilege in ("VM.Audit", "VM.PowerMgmt", "VM.GuestAgent.Audit", "Sys.Audit"):
        assert any(privilege in sentence for sentence in missing)


async def test_a_right_that_the_owner_lacks_does_not_count(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.dc.access.grant("/", OWNER, {"VM.Audit", "Sys.Audit"})
    missing = (await client.token_rights()).missing
    assert [sentence.split(":")[0] for sentence in missing] == [
        "The token may not reset VMs",
        "The token may not ask the guest agent for a sign of life",
    ]


async def test_rights_on_single_vms_are_not_missing_and_show_only_those(
    simulator: RunningSimulator, client: ProxmoxClient
) -> None:
    simulator.guest(100)
    simulator.guest(101, "web-1")
    simulator.dc.access.revoke(TOKEN_ID)
    simulator.dc.access.grant("/vms/101", TOKEN_ID, {"VM.Audit", "VM.PowerMgmt"})
    rights = await client.token_rights()
    assert rights.allows("VM.PowerMgmt", 101)
    assert not rights.allows("VM.PowerMgmt", 100)
    assert not any("reset VMs" in sentence for sentence in rights.missing)
    assert [vm.vmid for vm in (await client.inventory()).vms] == [101]
    with pytest.raises(ProxmoxForbidden):
        await client.look("pve1", 100)


def access(*, separation: bool) -> tuple[AccessControl, Token]:
    control = AccessControl()
    token = Token(TOKEN_ID, "secret", privilege_separation=separation)
    control.add_token(token)
    return control, token


def test_without_separation_a_token_has_its_owners_rights() -> None:
    control, token = access(separation=False)
    control.grant("/vms", OWNER, {"VM.Audit"})
    assert control.allows(token, "/vms/100", frozenset({"VM.Audit"}))


def test_with_separation_both_must_be_granted() -> None:
    control, token = access(separation=True)
    control.grant("/vms", OWNER, {"VM.Audit"})
    assert not control.allows(token, "/vms/100", frozenset({"VM.Audit"}))
    control.grant("/vms", TOKEN_ID, {"VM.Audit", "VM.PowerMgmt"})
    assert control.allows(token, "/vms/100", frozenset({"VM.Audit"}))
    assert not control.allows(token, "/vms/100", frozenset({"VM.PowerMgmt"}))


def test_a_deeper_entry_replaces_what_is_inherited() -> None:
    control, token = access(separation=False)
    control.grant("/", OWNER, ALL_PRIVILEGES)
    control.grant("/vms/100", OWNER, set())
    assert not control.allows(token, "/vms/100", ALL_PRIVILEGES)
    assert control.allows(token, "/vms/101", ALL_PRIVILEGES)


def test_an_entry_that_does_not_propagate_ends_there() -> None:
    control, token = access(separation=False)
    control.grant("/vms", OWNER, {"VM.Audit"}, propagates=False)
    assert control.allows(token, "/vms", frozenset({"VM.Audit"}))
    assert not control.allows(token, "/vms/100", frozenset({"VM.Audit"}))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "PVEAPIToken",
        f"PVEAPIToken={TOKEN_ID}",
        f"PVEAPIToken={TOKEN_ID}=wrong",
        f"Bearer={TOKEN_ID}=secret",
        "PVEAPIToken=other@pve!x=secret",
    ],
)
def test_only_the_whole_token_is_let_in(header: str | None) -> None:
    control, _ = access(separation=True)
    assert control.authenticate(header) is None


def test_the_right_token_is_let_in_until_it_expires() -> None:
    control, token = access(separation=True)
    header = f"PVEAPIToken={TOKEN_ID}=secret"
    assert control.authenticate(header) == token
    control.add_token(Token(TOKEN_ID, "secret", expired=True))
    assert control.authenticate(header) is None
