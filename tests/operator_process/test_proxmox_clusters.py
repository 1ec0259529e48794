"""What the status of a ProxmoxCluster says, and that it recovers by itself."""

from datetime import timedelta

import pytest

from defib_dev.proxmox_sim.access import ALL_PRIVILEGES, Token
from operator_process.world import CLUSTER, TOKEN_SECRET_NAME, VM, World
from support.proxmox import SECRET, TOKEN_ID
from support.waiting import eventually_async

NEW_TOKEN = "defib@pve!rotated"
NEW_SECRET = "9a1a9c3e-6a0d-4f6c-8f5e-1f1e6c1d2b77"


async def ready(world: World, reason: str, name: str = "default") -> dict[str, str]:
    """Wait until Ready has this reason."""
    return await world.condition(name, "Ready", reason, kind=CLUSTER)


async def test_a_cluster_that_answers_is_described(world: World) -> None:
    world.proxmox.guest(100, "web-0")

    condition = await ready(world, "Connected")

    assert condition["status"] == "True"
    status = await world.status(CLUSTER, "default")
    assert status["reachable"] is True
    assert status["quorate"] is True
    assert status["version"]
    assert status["nodes"] == [{"name": "pve1", "online": True}, {"name": "pve2", "online": True}]
    assert status["tokenMissing"] == []
    assert status["observedGeneration"] == 1
    reachable = await world.condition("default", "Reachable", "Connected", kind=CLUSTER)
    assert reachable["status"] == "True"


async def test_a_cluster_that_is_away_is_unreachable_and_recovers(world: World) -> None:
    await world.watched("web-0", 100)
    await ready(world, "Connected")

    await world.proxmox_api(mode="unreachable")

    condition = await ready(world, "Unreachable")
    assert condition["status"] == "False"
    assert world.proxmox.simulator.api_url in condition["message"]
    assert (await world.status(CLUSTER, "default"))["reachable"] is False
    world.change(100, frozen=True, bootSeconds=1)
    await world.held(100, "ProxmoxUnreachable")

    await world.proxmox_api(mode="ok")

    await ready(world, "Connected")
    await world.health("web-0", "healthy")
    assert world.posts(100) == ["reset"]


async def test_a_wrong_token_is_said_and_a_right_one_is_noticed_without_a_restart(
    empty_world: World,
) -> None:
    world = empty_world
    await world.furnish()
    await world.kube.put_secret(
        TOKEN_SECRET_NAME, {"tokenId": TOKEN_ID, "tokenSecret": "wrong-one"}
    )
    async with world.operator():
        condition = await ready(world, "TokenRefused")
        assert condition["status"] == "False"
        assert "wrong-one" not in condition["message"]
        reachable = await world.condition("default", "Reachable", "TokenRefused", kind=CLUSTER)
        assert reachable["status"] == "False"

        await world.kube.put_secret(TOKEN_SECRET_NAME, {"tokenId": TOKEN_ID, "tokenSecret": SECRET})

        await ready(world, "Connected")
    assert "wrong-one" not in world.logged.text()


async def test_a_missing_secret_and_a_missing_key_are_named(empty_world: World) -> None:
    world = empty_world
    await world.apply_config()
    await world.apply_cluster()
    async with world.operator():
        condition = await ready(world, "SecretNotFound")
        assert f"{world.namespace}/{TOKEN_SECRET_NAME}" in condition["message"]

        await world.kube.put_secret(TOKEN_SECRET_NAME, {"tokenId": TOKEN_ID})

        async def names_the_key() -> bool:
            condition = await ready(world, "SecretNotFound")
            return "has no key tokenSecret" in condition["message"]

        await eventually_async(names_the_key, what="the missing key is named")

        whole = {"tokenId": TOKEN_ID, "tokenSecret": SECRET}
        await world.kube.put_secret(TOKEN_SECRET_NAME, whole)
        await ready(world, "Connected")
        await _is_sent_only_where_the_secret_says(world, whole)

        await world.kube.delete_secret(TOKEN_SECRET_NAME)
        await ready(world, "SecretNotFound")


async def _is_sent_only_where_the_secret_says(world: World, whole: dict[str, str]) -> None:
    """Also with what is no text in the Secret: people name any."""
    elsewhere = {**whole, "endpoints": "https://pve1.example.com:8006"}
    await world.kube.put_secret(TOKEN_SECRET_NAME, elsewhere, {"blob": b"\xff\x00\xfe"})

    async def is_refused() -> bool:
        condition = await ready(world, "SecretNotFound")
        return "does not name https://" in condition["message"]

    await eventually_async(is_refused, what="the token is not sent elsewhere")
    here = f"https://pve1.example.com:8006, {world.proxmox.simulator.api_url}/"
    await world.kube.put_secret(TOKEN_SECRET_NAME, {**whole, "endpoints": here})
    await ready(world, "Connected")


async def test_missing_rights_are_listed_until_they_are_granted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("defib_operator.cluster_watch.RIGHTS_EVERY", timedelta(0))
    world.proxmox.guest(100, "web-0")
    await ready(world, "Connected")

    world.proxmox.dc.access.grant("/", TOKEN_ID, ALL_PRIVILEGES - {"VM.PowerMgmt"})

    condition = await ready(world, "TokenLacksRights")
    assert "VM.PowerMgmt" in condition["message"]
    status = await world.status(CLUSTER, "default")
    assert status["reachable"] is True
    assert status["tokenMissing"] == [condition["message"]]

    world.proxmox.dc.access.grant("/", TOKEN_ID, ALL_PRIVILEGES)

    await ready(world, "Connected")
    assert (await world.status(CLUSTER, "default"))["tokenMissing"] == []


async def test_a_token_rotated_while_a_reset_is_under_way_is_used_for_the_rest_of_it(
    world: World,
) -> None:
    await world.apply_config(bootGraceSeconds=15)
    await world.watched("web-0", 100)
    await world.proxmox_api(taskSeconds=3)
    access = world.proxmox.dc.access
    access.add_token(Token(NEW_TOKEN, NEW_SECRET))
    access.grant("/", NEW_TOKEN, ALL_PRIVILEGES)

    world.change(100, frozen=True, bootSeconds=1)

    async def sent() -> bool:
        return [row[1] for row in await world.resets(100)] == ["sent"]

    await eventually_async(sent, what="the reset is sent", deadline_seconds=20)
    await world.kube.put_secret(
        TOKEN_SECRET_NAME, {"tokenId": NEW_TOKEN, "tokenSecret": NEW_SECRET}
    )
    access.add_token(Token(TOKEN_ID, "revoked", expired=True))

    async def proven() -> bool:
        return await world.resets(100) == [("auto", "succeeded", True)]

    await eventually_async(proven, what="the reset ends well", deadline_seconds=20)
    assert world.posts(100) == ["reset"]
    await ready(world, "Connected")
    assert NEW_SECRET not in world.logged.text()


async def test_since_when_a_condition_holds_survives_a_restart(empty_world: World) -> None:
    world = empty_world
    await world.furnish()
    async with world.operator():
        before = await ready(world, "Connected")
        config = await world.condition("default", "Ready", "InForce", kind="SystemConfig")

        async def a_second_has_passed() -> bool:
            rows = await world.sql(
                "SELECT defib_now() > %s::timestamptz + interval '1.1 s'",
                max(before["lastTransitionTime"], config["lastTransitionTime"]),
            )
            return bool(rows[0][0])

        await eventually_async(a_second_has_passed, what="a second passes")

    async with world.operator():
        await world.proxmox_api(mode="noQuorum")

        async def is_rewritten() -> bool:
            return (await world.status(CLUSTER, "default"))["quorate"] is False

        await eventually_async(is_rewritten, what="the status is written again")
        assert await ready(world, "Connected") == before
        again = await world.condition("default", "Ready", "InForce", kind="SystemConfig")
        assert again == config


async def test_a_cluster_applied_anew_under_its_name_gets_its_status(world: World) -> None:
    await ready(world, "Connected")
    await world.kube.delete(CLUSTER, "default")

    async def forgotten() -> bool:
        return await world.sql("SELECT spec IS NULL FROM proxmox_cluster") == [(True,)]

    await eventually_async(forgotten, what="the deletion is noticed")

    await world.apply_cluster()

    await ready(world, "Connected")


async def test_an_endpoint_that_is_corrected_is_used_at_once(world: World) -> None:
    await world.apply_cluster(endpoints=["https://127.0.0.1:1"])
    await ready(world, "Unreachable")

    await world.apply_cluster()

    await ready(world, "Connected")


async def test_a_deleted_cluster_holds_its_vms(world: World) -> None:
    await world.watched("web-0", 100)
    await world.kube.delete(CLUSTER, "default")
    await world.condition("web-0", "Ready", "ClusterNotFound")

    world.change(100, frozen=True)

    await world.held(100, "ProxmoxUnreachable")
    await world.sweeps(2)
    assert world.posts(100) == []
    assert (await world.status(VM, "web-0"))["health"] == "down"
