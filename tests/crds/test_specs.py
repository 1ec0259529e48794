"""The models by themselves: what they hand to the rules, and how they refuse."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from defib_core.config.base import InvalidSpec
from defib_core.config.proxmox_cluster import parse_proxmox_cluster
from defib_core.config.system_config import SystemConfigSpec, parse_system_config
from defib_core.config.virtual_machine import VirtualMachineSpec, parse_virtual_machine
from defib_core.domain.actions import Action
from defib_core.domain.policy import DEFAULT_STEPS, LifeSignal, Policy


def test_the_default_config_is_the_default_policy() -> None:
    assert SystemConfigSpec().to_policy() == Policy()


def test_every_field_of_the_config_reaches_the_policy() -> None:
    given = {
        "staleTimeoutMs": 120_000,
        "cpuThreshold": 70.5,
        "ramThreshold": 71,
        "autoResetEnabled": False,
        "dryRun": True,
        "staleCheckIntervalSeconds": 7,
        "reportIntervalSeconds": 20,
        "maxResetAttempts": 4,
        "bootGraceSeconds": 200,
        "attemptsClearAfterSeconds": 1800,
        "autoRegister": False,
        "safety": {
            "armAfterReports": 5,
            "maxDownPercent": 21,
            "maxNodeDownPercent": 51,
            "minDownAllowed": 1,
            "failureDomainLabel": "example.com/rack",
            "maxConcurrentPercent": 6,
            "maxConcurrentPerNode": 3,
            "maxResetsPerHour": 31,
            "stormCooldownSeconds": 301,
            "secondLifeSignals": ["io"],
            "identityCheck": False,
            "blindAfterSeconds": 16,
            "controlPlaneStaleSeconds": 121,
            "ioWindowSeconds": 31,
        },
    }

    policy = parse_system_config(given).to_policy()

    assert policy.stale_timeout == timedelta(minutes=2)
    assert policy.cpu_threshold == 70.5
    assert policy.safety.second_life_signals == {LifeSignal.IO}
    assert policy.safety.io_window == timedelta(seconds=31)
    for part, default in ((policy, Policy()), (policy.safety, Policy().safety)):
        same = {
            name
            for name in part.__dataclass_fields__
            if getattr(part, name) == getattr(default, name)
        }
        assert same == set()


def test_a_mirrored_config_reads_back_as_it_was() -> None:
    config = parse_system_config({"staleTimeoutMs": 90_000, "safety": {"secondLifeSignals": []}})

    again = SystemConfigSpec.model_validate_json(config.model_dump_json(by_alias=True))

    assert again == config
    assert again.model_dump_json(by_alias=True) == config.model_dump_json(by_alias=True)


def test_windows_and_a_stop_are_read_and_mirrored_back_as_they_were() -> None:
    window = {
        "name": "firmware",
        "matchLabels": {"topology.example.com/rack": "r7"},
        "from": "2030-01-31T22:00:00+01:00",
        "until": "2030-02-01T02:00:00Z",
        "reason": "Kim: firmware",
    }
    config = parse_system_config({"maintenance": [window], "globalStop": {"reason": "storage"}})

    assert config.maintenance is not None
    assert config.maintenance[0].starts_at == datetime(2030, 1, 31, 21, tzinfo=UTC)
    assert config.global_stop is not None
    assert config.global_stop.reason == "storage"
    again = SystemConfigSpec.model_validate_json(config.model_dump_json(by_alias=True))
    assert again == config


def test_a_danger_is_refused_however_the_config_is_made() -> None:
    with pytest.raises(ValidationError, match="two report intervals"):
        SystemConfigSpec(stale_timeout_ms=1000)


def test_every_problem_is_named_with_its_path() -> None:
    with pytest.raises(InvalidSpec) as refusal:
        parse_virtual_machine({"vmid": 1, "paused": {}, "hostname": "a b", "overides": {}})

    assert {problem.path for problem in refusal.value.problems} == {
        "spec.vmid",
        "spec.paused.reason",
        "spec.hostname",
        "spec.overides",
    }
    assert refusal.value.kind == "VirtualMachine"
    assert "spec.paused.reason: is required: set it" in str(refusal.value)


def test_a_problem_in_a_list_names_its_place() -> None:
    spec = {"endpoints": ["https://a", "http://b"], "tokenSecretRef": {"name": "token"}}

    with pytest.raises(InvalidSpec) as refusal:
        parse_proxmox_cluster(spec)

    assert [problem.path for problem in refusal.value.problems] == ["spec.endpoints[1]"]


def test_only_the_names_of_the_yaml_are_known_when_parsing() -> None:
    with pytest.raises(InvalidSpec, match=r"spec\.stale_timeout_ms: is not a field"):
        parse_system_config({"stale_timeout_ms": 300_000})


def test_what_is_not_json_is_refused_not_raised() -> None:
    with pytest.raises(InvalidSpec, match="is not JSON"):
        parse_virtual_machine({"vmid": float("nan")})


def test_the_least_vm_is_treated_by_the_defaults() -> None:
    vm = parse_virtual_machine({"vmid": 100})

    assert (vm.cluster_ref.name, vm.config_ref.name) == ("default", "default")
    assert vm.remediation.enabled
    assert vm.remediation.steps == DEFAULT_STEPS
    assert vm.overrides.stale_timeout is None
    assert vm.paused is None


def test_a_vm_is_read_into_the_words_of_the_rules() -> None:
    vm = parse_virtual_machine(
        {
            "vmid": 999_999_999,
            "overrides": {"staleTimeoutMs": 90_000},
            "remediation": {"steps": ["StopStart"]},
            "paused": {"reason": "Kim", "until": "2030-01-31T06:00:00+02:00"},
        }
    )

    assert vm.overrides.stale_timeout == timedelta(seconds=90)
    assert vm.remediation.steps == (Action.STOP_START,)
    assert vm.paused is not None
    assert vm.paused.until == datetime(2030, 1, 31, 4, tzinfo=UTC)


def test_an_override_under_two_intervals_of_its_config_is_a_problem() -> None:
    vm = VirtualMachineSpec.model_validate({"vmid": 100, "overrides": {"staleTimeoutMs": 59_999}})

    (problem,) = vm.problems_under(SystemConfigSpec())

    assert problem.path == "spec.overrides.staleTimeoutMs"
    assert "60000 ms" in problem.message
    assert vm.problems_under(SystemConfigSpec(report_interval_seconds=29)) == ()
    assert vm.problems_under(SystemConfigSpec(acknowledge_risk=True)) == ()


def test_without_an_override_no_config_is_a_problem() -> None:
    vm = VirtualMachineSpec(vmid=100)

    assert vm.problems_under(SystemConfigSpec(stale_timeout_ms=60_000)) == ()


@pytest.mark.parametrize(
    "url",
    [
        "https://pve1.example.com",
        "https://pve1.example.com:443/",
        "https://[fd00::1]:8006",
        "https://192.0.2.7:65535",
    ],
)
def test_an_endpoint_is_a_host_with_or_without_a_port(url: str) -> None:
    cluster = parse_proxmox_cluster({"endpoints": [url], "tokenSecretRef": {"name": "token"}})

    assert cluster.endpoints == (url,)


def test_a_spec_cannot_be_changed_once_read() -> None:
    config = SystemConfigSpec()

    with pytest.raises(ValidationError, match="frozen"):
        config.dry_run = True  # type: ignore[misc]  # that is the point
