"""Tokens: random, shown once, kept as digests, in force until revoked or expired."""

import hashlib
from datetime import datetime

import pytest

from defib_core.domain.roles import Role
from defib_core.store import agent_tokens, tokens
from defib_core.store.agent_tokens import NewAgentToken
from defib_core.store.tokens import BoundTokens, KnownToken, TokenKind, UnknownCluster
from support.stored import MINUTE, SECOND, Stored
from support.tokens import secret_of


async def make(
    stored: Stored, kind: TokenKind = TokenKind.ADMIN, expires_at: datetime | None = None
) -> str:
    cluster_id = await stored.cluster_id() if kind is TokenKind.AGENT else None
    return await tokens.create(
        stored.connection, kind, "ann's", cluster_id=cluster_id, expires_at=expires_at
    )


@pytest.mark.parametrize("kind", TokenKind)
async def test_a_token_is_known_by_its_digest_alone(stored: Stored, kind: TokenKind) -> None:
    token = await make(stored, kind)
    assert token.startswith(f"defib_{kind}_")
    known = await tokens.load(stored.connection)
    found = known[hashlib.sha256(token.encode()).digest()]
    cluster_id = await stored.cluster_id() if kind is TokenKind.AGENT else None
    role = Role.ADMINISTRATOR if kind is TokenKind.ADMIN else None
    assert found == KnownToken(found.id, kind, "ann's", cluster_id, role=role)
    stored_text = await stored.value("SELECT api_token::text FROM api_token")
    assert secret_of(token) not in stored_text


async def test_no_two_tokens_are_alike_or_short(stored: Stored) -> None:
    made = {await make(stored) for _ in range(20)}
    assert len(made) == 20
    assert min(len(token.removeprefix("defib_admin_")) for token in made) >= 43


async def test_a_revoked_token_is_not_in_force(stored: Stored) -> None:
    await make(stored)
    await stored.execute("UPDATE api_token SET revoked_at = defib_now()")
    assert await tokens.load(stored.connection) == {}


async def test_a_token_is_in_force_until_it_expires(stored: Stored) -> None:
    await make(stored, expires_at=stored.now + MINUTE)
    await stored.move(MINUTE - SECOND)
    assert len(await tokens.load(stored.connection)) == 1
    await stored.move(SECOND)
    assert await tokens.load(stored.connection) == {}


async def test_tokens_of_machines_are_read_again_when_one_has_changed(stored: Stored) -> None:
    vm_ids = [await stored.reporting_vm(vmid=number) for number in (100, 101)]
    for vm_id in vm_ids:
        machine = NewAgentToken(await stored.cluster_id(), vm_id, None, "web", "ann")
        await agent_tokens.add_agent_token(stored.connection, machine)
    bound = BoundTokens()
    first = await bound.read(stored.connection)
    assert {one.bound.vmid for one in first.values() if one.bound} == {100, 101}
    assert await bound.read(stored.connection) is first

    await stored.execute("UPDATE vm SET node = 'pve9' WHERE vmid = 101")
    moved = await bound.read(stored.connection)
    assert {one.bound.node for one in moved.values() if one.bound and one.bound.vmid == 101} == {
        "pve9"
    }

    await stored.execute(
        f"UPDATE agent_token SET expires_at = defib_now() + interval '1 minute' "
        f"WHERE vm_id = {vm_ids[0]}"
    )
    assert len(await bound.read(stored.connection)) == 2
    await stored.move(MINUTE)
    assert len(await bound.read(stored.connection)) == 1
    assert len(await tokens.load(stored.connection, bound)) == 1


def test_a_token_as_bytes_has_the_same_digest() -> None:
    assert tokens.digest("defib") == tokens.digest(b"defib")


async def test_a_cluster_is_found_by_its_name(stored: Stored) -> None:
    found = await tokens.cluster_id_of(stored.connection, "defib", "default")
    assert found == await stored.cluster_id()


@pytest.mark.parametrize(("namespace", "name"), [("defib", "other"), ("other", "default")])
async def test_an_unknown_cluster_is_named(stored: Stored, namespace: str, name: str) -> None:
    with pytest.raises(UnknownCluster, match=f"no ProxmoxCluster {namespace}/{name} is known"):
        await tokens.cluster_id_of(stored.connection, namespace, name)
