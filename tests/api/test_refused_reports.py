"""Absurd and hostile reports: refused clearly, field by field, and nothing of them is stored."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defib_api.ingest.explain import explain
from defib_api.ingest.report import Malformed, Report, decode
from support.running_api import SEED_REPORT, RunningApi

ABSURD: tuple[tuple[str, Any], ...] = (
    ("ramTotal", 0),
    ("ramTotal", -4096),
    ("ramTotal", 0.4),
    ("ramTotal", 2**31),
    ("ramTotal", 10**30),
    ("ramTotal", "4096"),
    ("ramTotal", True),
    ("ramTotal", None),
    ("ramTotal", []),
    ("ramUsage", -1),
    ("ramUsage", 4097),
    ("ramUsage", "2048"),
    ("cpuUsage", 900),
    ("cpuUsage", 100.01),
    ("cpuUsage", -0.1),
    ("cpuUsage", "45.2"),
    ("cpuUsage", "45,2"),
    ("cpuUsage", {}),
    ("cpuUsage", False),
    ("diskUsage", -1),
    ("diskUsage", 100001),
    ("diskTotal", 0),
    ("diskTotal", 10**13),
    ("uptime", -1),
    ("uptime", 10**11),
    ("uptime", "1 day"),
    ("vmid", 99),
    ("vmid", 1_000_000_000),
    ("vmid", 100.0),
    ("vmid", 100.5),
    ("vmid", -100),
    ("vmid", 10**40),
    ("vmid", True),
    ("vmid", ""),
    ("vmid", "0100"),
    ("vmid", " 100"),
    ("vmid", "100\n"),
    ("vmid", "\uff11\uff10\uff10"),
    ("vmid", "qm-100"),
    ("vmid", "100; DROP TABLE vm"),
    ("vmid", [100]),
    ("hostname", ""),
    ("hostname", " "),
    ("hostname", 5),
    ("hostname", None),
    ("hostname", "web server"),
    ("hostname", "-web"),
    ("hostname", "web-"),
    ("hostname", "web..example"),
    ("hostname", ".web"),
    ("hostname", "web."),
    ("hostname", "web\n"),
    ("hostname", "web\x00"),
    ("hostname", "web\x1b[31m"),
    ("hostname", "<script>alert(1)</script>"),
    ("hostname", "../../etc/passwd"),
    ("hostname", "..\\..\\windows"),
    ("hostname", "web%2e"),
    ("hostname", "${jndi:ldap://x}"),
    ("hostname", "web'; DROP TABLE vm; --"),
    ("hostname", "wéb"),
    ("hostname", "web\u202e"),
    ("hostname", "a" * 64),
    ("hostname", ".".join(["a" * 60] * 5)),
    ("node", "pve node"),
    ("node", "../qemu/101"),
    ("node", "pve/../.."),
    ("node", "a" * 64),
    ("node", 1),
    ("status", "running; rm -rf"),
    ("status", ""),
    ("status", 1),
    ("status", "<b>"),
    ("bootId", "x" * 65),
    ("bootId", "a b"),
    ("bootId", 1),
    ("agentVersion", "\u0000"),
    ("agentVersion", "1.0\n"),
    ("smbiosUuid", "Not Settable"),
    ("smbiosUuid", 5),
    ("smbiosUuid", "4c4c4544-0042-4b10-8057"),
)


@pytest.mark.parametrize(("field", "value"), ABSURD)
async def test_an_absurd_value_is_refused_by_its_field(
    shared_api: RunningApi, field: str, value: object
) -> None:
    answer = await shared_api.send({**SEED_REPORT, field: value})
    body = answer.json()
    assert answer.status_code == 400, body
    assert body["success"] is False
    assert field in body["message"]
    wrong = {error["field"]: error["message"] for error in body["errors"]}
    assert field in wrong or {field, *wrong} == {"ramTotal", "ramUsage"}
    assert all(message for message in wrong.values())
    assert await shared_api.sql("SELECT count(*) FROM vm") == [(0,)]


@pytest.mark.parametrize("field", ["hostname", "vmid", "cpuUsage", "ramUsage", "ramTotal"])
async def test_a_missing_field_is_named(shared_api: RunningApi, field: str) -> None:
    answer = await shared_api.report(**{field: None})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field
    assert "is missing" in answer.json()["errors"][0]["message"]


async def test_every_wrong_field_is_listed(shared_api: RunningApi) -> None:
    answer = await shared_api.report(cpuUsage=900, ramTotal=0, hostname="a b")
    assert answer.json()["errors"] == [
        {
            "field": "hostname",
            "message": "must be a host name of at most 253 characters: parts of letters, digits,"
            " '-' and '_' separated by '.', each part at most 63 characters and neither beginning"
            " nor ending with '-'; got \"a b\"",
        },
        {"field": "cpuUsage", "message": "must be a number from 0 to 100 (percent); got 900"},
        {
            "field": "ramTotal",
            "message": "must be a number of MB from 1 to 2147483647; got 0",
        },
        {"field": "ramUsage", "message": "must not be greater than ramTotal (0)"},
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"web"',
        b"100",
        b"{}{}",
        b"\xff\xfe",
        b'\xef\xbb\xbf{"hostname": "web"}',
        b'{"hostname": "\xff"}',
        b'{"hostname": "\\ud800"}',
        b'{"cpuUsage": NaN}',
        b'{"cpuUsage": Infinity}',
        b'{"cpuUsage": -Infinity}',
        b'{"cpuUsage": 1e999}',
        b"[" * 8000,
        b'{"extra": ' + b"[" * 4000 + b"]" * 4000 + b"}",
        b"<?xml version='1.0'?><report/>",
        b"hostname=web&vmid=100",
        b"\x00" * 100,
    ],
)
async def test_what_is_no_json_object_is_refused(shared_api: RunningApi, content: bytes) -> None:
    answer = await shared_api.send_raw(content)
    assert answer.status_code == 400
    body = answer.json()
    assert body["success"] is False
    assert body["errors"]


async def test_nan_among_good_values_is_refused(shared_api: RunningApi) -> None:
    answer = await shared_api.send_raw(
        json.dumps({**SEED_REPORT, "cpuUsage": float("nan")}).encode()
    )
    assert answer.status_code == 400
    assert "not valid JSON" in answer.json()["message"]


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"],
)
async def test_another_content_type_is_refused(shared_api: RunningApi, content_type: str) -> None:
    answer = await shared_api.send_raw(json.dumps(SEED_REPORT).encode(), Content_Type=content_type)
    assert answer.status_code == 415
    assert "Content-Type: application/json" in answer.json()["message"]


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", 'application/json; charset="UTF-8"'],
)
async def test_json_is_known_however_it_is_spelt(api: RunningApi, content_type: str) -> None:
    answer = await api.send_raw(json.dumps(SEED_REPORT).encode(), Content_Type=content_type)
    assert answer.status_code == 200


async def test_a_report_without_vmid_and_uuid_says_what_to_configure(
    shared_api: RunningApi,
) -> None:
    answer = await shared_api.report(vmid=None)
    assert answer.status_code == 400
    assert "(its VMID) in the agent's configuration" in answer.json()["message"]


async def test_a_report_without_vmid_and_with_an_unknown_uuid_is_sent_again_later(
    shared_api: RunningApi,
) -> None:
    uuid = "4c4c4544-0042-4b10-8057-b6c04f4d3432"
    answer = await shared_api.report(vmid=None, smbiosUuid=uuid)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "15")
    assert "is being looked up in Proxmox; send it again" in answer.json()["message"]
    sought = "SELECT smbios_uuid::text, hostname, vmid FROM sought_machine"
    assert await shared_api.sql(sought) == [(uuid, "web-server-01", None)]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
likely: st.SearchStrategy[Any] = st.sampled_from(
    ["100", 100, 0, 1, 50.5, "web-01", "a b", 4096, None, -1, 900, "running", ""]
)
NAMES = [field.encode_name for field in msgspec.structs.fields(Report)]
bodies = st.dictionaries(st.sampled_from(NAMES), likely | anything).map(
    lambda changes: json.dumps({**SEED_REPORT, **changes}).encode()
)


@settings(max_examples=400, deadline=None)
@given(bodies | st.binary(max_size=64) | anything.map(lambda value: json.dumps(value).encode()))
def test_a_refusal_always_has_an_explanation_and_nothing_else_is_raised(body: bytes) -> None:
    try:
        report = decode(body)
    except Malformed:
        assert explain(body)
        return
    # What is accepted must be storable: whole numbers within their columns, text without NUL.
    assert 0 <= report.cpu_usage <= 100
    assert 0 <= round(report.ram_usage) <= round(report.ram_total) < 2**31
    assert "\x00" not in f"{report.hostname}{report.node}{report.status}{report.boot_id}"


@given(st.sampled_from(NAMES), anything)
def test_a_wrong_field_is_explained_by_its_own_name(name: str, value: object) -> None:
    body = json.dumps({**SEED_REPORT, name: value}).encode()
    try:
        decode(body)
    except Malformed:
        fields = {error.field for error in explain(body)}
        partner = {"ramTotal": "ramUsage", "diskTotal": "diskUsage"}.get(name, name)
        assert fields & {name, partner, "body"}
