"""The installers as the API hands them out: its address, the checksum, the token if one came."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from defib_api.agent_files import Address
from support.running_api import RunningApi, running_api

AGENTS = Path(__file__).parents[2] / "agents"


async def test_the_installer_carries_address_checksum_and_unit(api: RunningApi) -> None:
    answer = await api.http.get("/install.sh")
    agent = (AGENTS / "linux/linux-agent.sh").read_bytes()
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert f"server='http://127.0.0.1:{api.port}'" in answer.text
    assert hashlib.sha256(agent).hexdigest() in answer.text
    assert (AGENTS / "linux/defib-agent.service").read_text() in answer.text
    assert is_shell(answer.text)


def is_shell(text: str) -> bool:
    return subprocess.run(["sh", "-n"], input=text.encode(), check=False).returncode == 0


async def test_the_token_is_filled_in_only_where_it_was_sent(api: RunningApi) -> None:
    plain = await api.http.get("/install.sh")
    filled = await api.http.get("/install.sh", headers={"X-Enrolment-Token": "abc.DEF_1"})
    assert "enrolment_token='@ENROLMENT_TOKEN@'" in plain.text
    assert "enrolment_token='abc.DEF_1'" in filled.text
    windows = await api.http.get("/install.ps1", headers={"X-Enrolment-Token": "abc.DEF_1"})
    assert "$EnrolmentToken = 'abc.DEF_1'" in windows.text


@pytest.mark.parametrize("token", ["a'; reboot; '", "a b", "$(id)", "", "x" * 201])
async def test_what_is_no_token_gets_into_no_script(api: RunningApi, token: str) -> None:
    answer = await api.http.get("/install.sh", headers={"X-Enrolment-Token": token})
    assert answer.status_code == 400
    assert "holds no token" in answer.json()["message"]


@pytest.mark.parametrize("host", ["x'; reboot; '", "a$(id)", "a`id`", 'a"b'])
async def test_what_is_no_address_gets_into_no_script(api: RunningApi, host: str) -> None:
    answer = await api.http.get("/install.sh", headers={"Host": host})
    assert answer.status_code == 400
    assert "reboot" not in answer.text or "no plain address" in answer.json()["message"]


@pytest.mark.parametrize(
    "url", ["ftp://a", "https://a b", "https://a'b", "https://a?b", "https://", "https://a\n"]
)
def test_only_plain_addresses_are_addresses(url: str) -> None:
    with pytest.raises(ValueError, match="no plain address"):
        Address(url)


@pytest.mark.parametrize("name", ["linux-agent.sh", "windows-agent.ps1"])
async def test_the_agents_and_their_checksums_are_served(api: RunningApi, name: str) -> None:
    agent = await api.http.get(f"/agent/{name}")
    checksum = await api.http.get(f"/agent/{name}.sha256")
    # With Linux's line ends, whatever the checkout has.
    assert agent.text == (AGENTS / name.split("-", maxsplit=1)[0] / name).read_text()
    assert checksum.text == f"{hashlib.sha256(agent.content).hexdigest()}  {name}\n"
    missing = await api.http.get("/agent/secret")
    assert missing.status_code == 404
    assert "linux-agent.sh" in missing.json()["message"]


async def test_the_texts_to_copy_have_the_address_and_one_place_for_the_token(
    database_url: str,
) -> None:
    async with running_api(database_url, None, public_url="https://defib.test/vms/") as api:
        texts = (await api.get("/api/install")).json()
        unsigned = await api.http.get("/api/install")
    assert unsigned.status_code == 401
    assert texts["server"] == "https://defib.test/vms"
    for name in ("linux", "windows", "cloudInit", "ansible"):
        assert "https://defib.test/vms" in texts[name]
        assert texts["placeholder"] in texts[name]
        assert "defib.example.com" not in texts[name]
    assert texts["linux"].endswith("| sudo sh")
    assert len(texts["agentSha256"]) == 64
