"""`defib doctor` as a person runs it: all well, all down, and its words."""

from pathlib import Path

from defib_core.store.tokens import TokenKind
from defib_dev.components.ports import free_port
from doctor.examining import examined
from operator_process.world import CLUSTER, World
from support.running_api import running_api

FSYNC = ("postgresql", "fsync")
"""Test servers are not durable, on purpose."""


async def test_a_defib_that_is_well_is_found_well(empty_world: World, redis_url: str) -> None:
    world = empty_world
    await world.furnish()
    world.proxmox.guest(100, "web-0")
    async with world.operator(), running_api(world.database_url, redis_url) as api:
        await api.new_token(TokenKind.ADMIN, "kim")
        await world.condition("default", "Ready", "Connected", kind=CLUSTER)
        settings = {
            "DEFIB_DATABASE_URL": world.database_url,
            "DEFIB_REDIS_URL": redis_url,
            "DEFIB_NAMESPACE": world.namespace,
            "DEFIB_KUBECONFIG": str(world.kubeconfig),
            "DEFIB_API_URL": f"http://127.0.0.1:{api.port}",
        }
        found = await examined("--json", **settings)
        text = await examined(**settings)
    assert found.not_ok() == {FSYNC}, found.out
    assert {part for part, _ in found.findings} == {
        *("postgresql", "tokens", "ingest", "operator", "redis", "kubernetes", "proxmox", "api")
    }
    assert found.code == text.code == 1
    assert "ok    proxmox     default reachable" in text.out
    assert "-> switch both on" in text.out
    assert text.out.strip().splitlines()[-1].endswith("looked at, 1 failed, 0 to look at")


async def test_everything_is_down_and_each_part_says_so_in_a_line(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(4)]
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        f"clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{ports[2]}'}}}}]\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\n"
        "users: [{name: u, user: {token: none}}]\n"
    )
    settings = {
        "DEFIB_DATABASE_URL": f"postgresql://defib:geheim@127.0.0.1:{ports[0]}/defib",
        "DEFIB_REDIS_URL": f"redis://127.0.0.1:{ports[1]}",
        "DEFIB_KUBECONFIG": str(kubeconfig),
        "DEFIB_API_URL": f"http://127.0.0.1:{ports[3]}",
    }
    found = await examined("--json", **settings)
    assert found.code == 1
    assert found.findings == {
        ("postgresql", "reachable"): "fail",
        ("redis", "reachable"): "warn",
        ("kubernetes", "reachable"): "fail",
        ("api", "ready"): "fail",
    }
    assert "Traceback" not in found.err
    assert "geheim" not in found.out + found.err


async def test_without_settings_it_names_what_is_missing() -> None:
    found = await examined()
    assert found.code == 1
    assert "DEFIB_DATABASE_URL is not set" in found.out
    assert "not looked at: its address is not known here" in found.out


async def test_a_misspelt_setting_is_named() -> None:
    found = await examined(DEFIB_DATABSE_URL="postgresql://localhost/defib")
    assert found.code == 1
    assert "DEFIB_DATABSE_URL is not a setting of Defib" in found.out
    assert "Traceback" not in found.err
