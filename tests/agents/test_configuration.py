"""Settings from the file and the environment, and what is said when they are wrong."""

import json

import pytest

from agents.linux_agent import KEY, Agent, make_agent
from agents.report_server import ReportServer

CONFIG_ERROR = 78


async def test_the_configuration_file_is_read_and_never_run(
    agent: Agent, server: ReportServer
) -> None:
    config = agent.folder / "agent.conf"
    config.write_text(
        "# Defib's agent\r\n"
        f"DEFIB_URL = {server.url}/ \r\n"
        f"DEFIB_KEY_FILE='{agent.key_file}'\n"
        "\n"
        '  DEFIB_NODE="pve-node-1"\n'
        "DEFIB_HOSTNAME=$(touch ran)`touch ran`\n"
        "DEFIB_VMID=4711"
    )
    plain = agent.with_settings(DEFIB_KEY_FILE="", DEFIB_VMID="")
    done = await plain.run("--config", str(config), "--once")
    assert (done.code, done.err) == (0, "")
    report = server.received[0].report
    assert (report["vmid"], report["node"]) == ("4711", "pve-node-1")
    assert report["hostname"] == "$(touch ran)`touch ran`"
    assert not list(agent.folder.rglob("ran"))


async def test_the_environment_overrides_the_file(agent: Agent) -> None:
    config = agent.folder / "agent.conf"
    config.write_text("DEFIB_VMID=4711\nDEFIB_NODE=pve1\n")
    done = await agent.with_settings(DEFIB_VMID="123").run("--config", str(config), "--dry-run")
    report = json.loads(done.out)
    assert (report["vmid"], report["node"]) == ("123", "pve1")


async def test_unknown_settings_and_odd_lines_are_named_and_passed_over(agent: Agent) -> None:
    config = agent.folder / "agent.conf"
    config.write_text("DEFIB_VMIDD=1\nDEFIB_TOKEN=secret-value\nsecret words\nDEFIB_NODE=pve1\n")
    done = await agent.run("--config", str(config), "--dry-run")
    assert json.loads(done.out)["node"] == "pve1"
    said = done.err.splitlines()
    assert len(said) == 3
    assert "line 1: unknown setting DEFIB_VMIDD" in said[0]
    assert "line 2: unknown setting DEFIB_TOKEN" in said[1]
    assert "line 3: not of the form KEY=value" in said[2]
    assert "secret" not in done.err


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("DEFIB_VMID", "99", "DEFIB_VMID must be"),
        ("DEFIB_VMID", "0100", "DEFIB_VMID must be"),
        ("DEFIB_VMID", "1e3", "DEFIB_VMID must be"),
        ("DEFIB_VMID", "1000000000", "DEFIB_VMID must be"),
        ("DEFIB_INTERVAL", "0", "DEFIB_INTERVAL must be"),
        ("DEFIB_INTERVAL", "121", "DEFIB_INTERVAL must be"),
        ("DEFIB_INTERVAL", "30s", "DEFIB_INTERVAL must be"),
        ("DEFIB_URL", "defib.example.com", "DEFIB_URL must be"),
        ("DEFIB_URL", "ftp://defib.example.com", "DEFIB_URL must be"),
        ("DEFIB_URL", "https://me:secret@defib.example.com", "without user"),
        ("DEFIB_URL", 'https://defib.example.com/" -o x', "plain address"),
        ("DEFIB_CA_FILE", "/nowhere/ca.pem", "cannot read /nowhere/ca.pem"),
        ("DEFIB_KEY_FILE", "/nowhere/agent.key", "cannot read /nowhere/agent.key"),
    ],
)
async def test_a_wrong_setting_is_refused_by_name(
    agent: Agent, setting: str, value: str, expected: str
) -> None:
    told = agent.with_settings(DEFIB_URL="http://localhost:9").with_settings(**{setting: value})
    done = await told.run("--once")
    assert done.code == CONFIG_ERROR
    assert expected in done.err
    assert len(done.err.splitlines()) == 1
    assert "secret" not in done.err


async def test_without_vmid_and_uuid_it_says_what_to_do(agent: Agent) -> None:
    nowhere = str(agent.folder / "no-uuid")
    done = await agent.with_settings(DEFIB_VMID="", DEFIB_SMBIOS_FILE=nowhere).run("--dry-run")
    assert done.code == CONFIG_ERROR
    assert "set DEFIB_VMID" in done.err
    assert nowhere in done.err


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o660])
async def test_a_key_that_others_can_read_is_refused(agent: Agent, mode: int) -> None:
    agent.key_file.chmod(mode)
    done = await agent.with_settings(DEFIB_URL="http://localhost:9").run("--once")
    assert done.code == CONFIG_ERROR
    assert f"chmod 0600 {agent.key_file}" in done.err
    assert KEY not in done.err


@pytest.mark.parametrize("text", ["", "\n", "two words\n", 'quo"te\n', "back\\slash\n", "umläut\n"])
async def test_what_cannot_be_a_key_is_refused_and_not_shown(agent: Agent, text: str) -> None:
    agent.key_file.write_text(text)
    done = await agent.with_settings(DEFIB_URL="http://localhost:9").run("--once")
    assert done.code == CONFIG_ERROR
    assert str(agent.key_file) in done.err
    assert not text.strip() or text.strip() not in done.err


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
async def test_without_curl_and_wget_it_says_what_to_install(
    shell: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    agent = make_agent(shell, tmp_path_factory.mktemp("bare"), sender="")
    done = await agent.with_settings(DEFIB_URL="http://localhost:9").run("--once")
    assert done.code == CONFIG_ERROR
    assert "apk add curl" in done.err


async def test_busyboxs_wget_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    agent = make_agent("busybox", tmp_path_factory.mktemp("alpine"), sender="")
    (agent.tools / "wget").symlink_to(agent.shell[0])
    done = await agent.with_settings(DEFIB_URL="http://localhost:9").run("--once")
    assert done.code == CONFIG_ERROR
    assert "busybox's wget verifies no TLS" in done.err


async def test_plain_http_to_elsewhere_is_warned_about(agent: Agent) -> None:
    done = agent.sourced(f"url=http://defib.example.com key_file={agent.key_file}; check_server")
    assert done.code == 0
    assert "unencrypted" in done.err


async def test_help_and_version_need_no_configuration(agent: Agent) -> None:
    bare = agent.with_settings(DEFIB_VMID="", DEFIB_KEY_FILE="")
    assert "DEFIB_CA_FILE" in (await bare.run("--help")).out
    assert (await bare.run("--version")).out == "0.1.0\n"
    unknown = await bare.run("--onec")
    assert unknown.code == CONFIG_ERROR
    assert "unknown option --onec" in unknown.err
