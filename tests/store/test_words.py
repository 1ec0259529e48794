"""One vocabulary: the words of the enums, of the tables' checks, and of the custom resources."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import yaml

from defib_core.config.system_config import SystemConfigSpec
from defib_core.domain.actions import UNFINISHED, Action, Phase, PowerStep, Source
from defib_core.domain.policy import LifeSignal
from defib_core.domain.states import Health, State, health_of, reported_state
from defib_core.store.tokens import TokenKind
from support.stored import Stored

CRDS = Path(__file__).parents[2] / "crds"

CHECKED: list[tuple[str, type[StrEnum]]] = [
    ("vm_state_state_known_check", State),
    ("vm_transition_from_state_known_check", State),
    ("vm_transition_to_state_known_check", State),
    ("reset_history_phase_known_check", Phase),
    ("reset_history_action_known_check", Action),
    ("reset_history_source_known_check", Source),
    ("reset_step_step_known_check", PowerStep),
    ("reset_step_phase_known_check", Phase),
    ("api_token_kind_known_check", TokenKind),
]


@pytest.mark.parametrize(("constraint", "words"), CHECKED, ids=str)
async def test_the_tables_know_exactly_the_words(
    stored: Stored, constraint: str, words: type[StrEnum]
) -> None:
    definition = await stored.value(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :name",
        name=constraint,
    )
    assert set(re.findall(r"'([^']*)'", definition)) == {word.value for word in words}


async def test_the_tables_know_which_phases_are_unfinished(stored: Stored) -> None:
    for index in ("reset_history_one_unfinished_per_vm",):
        definition = await stored.value(
            "SELECT indexdef FROM pg_indexes WHERE indexname = :name", name=index
        )
        assert set(re.findall(r"'([^']*)'", definition)) == {word.value for word in UNFINISHED}


def schema(plural: str) -> dict[str, Any]:
    crd = yaml.safe_load((CRDS / f"defib.dev_{plural}.yaml").read_text())
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return found


def test_the_custom_resource_shows_exactly_the_states() -> None:
    health = schema("virtualmachines")["status"]["properties"]["health"]
    assert health["enum"] == [state.value for state in State]


def test_the_custom_resource_takes_the_steps_that_can_be_asked_for() -> None:
    remediation = schema("virtualmachines")["spec"]["properties"]["remediation"]
    steps = remediation["properties"]["steps"]["items"]["enum"]
    assert set(steps) == {Action.RESET, Action.STOP_START}


def test_the_custom_resource_takes_exactly_the_signals() -> None:
    safety = schema("systemconfigs")["spec"]["properties"]["safety"]["properties"]
    assert set(safety["secondLifeSignals"]["items"]["enum"]) == set(LifeSignal)


def test_the_rest_api_has_three_words_and_unknown() -> None:
    assert {state: health_of(state) for state in State} == {
        State.UNKNOWN: Health.UNKNOWN,
        State.HEALTHY: Health.HEALTHY,
        State.WARNING: Health.WARNING,
        State.DOWN: Health.DOWN,
        State.RESET_FAILED: Health.DOWN,
    }


@pytest.mark.parametrize(
    ("cpu", "ram", "ram_total"),
    [(80, 50, 100), (80.5, 50, 100), (10, 90, 100), (10, 91, 100), (0, 0, 1), (100, 100, 100)],
)
async def test_python_and_sql_judge_a_heartbeat_alike(
    stored: Stored, cpu: float, ram: int, ram_total: int
) -> None:
    spec = SystemConfigSpec()
    vm_id = await stored.vm()
    await stored.report(vm_id, cpu=cpu, ram=ram, ram_total=ram_total)
    judged = reported_state(
        cpu_percent=cpu,
        ram_percent=100 * ram / ram_total,
        cpu_limit=spec.cpu_threshold,
        ram_limit=spec.ram_threshold,
    )
    assert (await stored.state(vm_id)).state == judged
