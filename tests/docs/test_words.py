"""Each word of the code that people meet is explained, and none is explained that is gone."""

import re
from enum import StrEnum

import pytest
import yaml

from defib_core.config.conditions import ReadyReason
from defib_core.config.settings import (
    KNOWN_TO_ALL,
    ApiSettings,
    DatabaseSettings,
    OperatorSettings,
)
from defib_core.domain.actions import Action, Phase, PowerStep, Source
from defib_core.domain.reasons import CancelReason, HoldReason, TransitionReason
from defib_core.domain.states import State
from defib_core.store.tables import metadata
from docs.pages import CODE_SPAN, ROOT, Page, page

SAFETY = page("docs/safety.md")
GLOSSARY = page("docs/glossary.md")
CONFIGURATION = page("docs/configuration.md")
OPERATIONS = page("docs/operations.md")

HOLD_REASONS = [one.value for one in HoldReason]


def test_each_reason_of_a_hold_has_its_row_in_safety_in_the_order_of_the_checks() -> None:
    assert SAFETY.section("Reasons").first_words == HOLD_REASONS


def test_each_reason_of_a_hold_says_what_to_do() -> None:
    rows = [row for row in SAFETY.section("Reasons").rows if CODE_SPAN.match(row[0])]
    assert [row[0] for row in rows if len(row) != 3 or not row[2]] == []


def test_each_reason_of_a_hold_is_in_the_glossary_in_the_order_of_the_checks() -> None:
    words = GLOSSARY.section("Deciding").first_words
    assert [word for word in words if word in HOLD_REASONS] == HOLD_REASONS


@pytest.mark.parametrize(
    "words", [TransitionReason, CancelReason, State, Phase, Action, PowerStep, Source, ReadyReason]
)
def test_each_other_word_is_in_the_glossary(words: type[StrEnum]) -> None:
    explained = set(CODE_SPAN.findall(GLOSSARY.text))
    assert {word.value for word in words} - explained == set()


@pytest.mark.parametrize("words", [TransitionReason, CancelReason, State, Action])
def test_each_word_of_the_rules_is_in_safety(words: type[StrEnum]) -> None:
    explained = set(CODE_SPAN.findall(SAFETY.text))
    assert {word.value for word in words} - explained == set()


def test_each_reason_of_not_being_ready_says_what_to_do() -> None:
    fine = {ReadyReason.MONITORED, ReadyReason.IN_FORCE, ReadyReason.CONNECTED}
    told = OPERATIONS.section("Reasons of Ready").first_words
    assert set(told) == {one.value for one in ReadyReason} - {one.value for one in fine}


# settings


def test_each_setting_is_in_configuration_and_none_that_is_gone() -> None:
    told = CONFIGURATION.section("Settings of the processes").first_words
    assert sorted(told) == sorted(f"DEFIB_{name.upper()}" for name in KNOWN_TO_ALL)


def test_the_defaults_of_settings_are_those_of_the_code() -> None:
    rows = CONFIGURATION.section("Settings of the processes").rows
    told = {row[0].strip("`"): row[1].strip("`") for row in rows if row[0].startswith("`")}
    fields = {
        name: field
        for kind in (DatabaseSettings, ApiSettings, OperatorSettings)
        for name, field in kind.model_fields.items()
    }
    plain = {
        f"DEFIB_{name.upper()}": field.default
        for name, field in fields.items()
        if not field.is_required() and field.default is not None
    }
    assert {name: told[name] for name in plain} == {
        name: _as_written(default) for name, default in plain.items()
    }


def test_each_setting_of_the_linux_agent_is_in_configuration() -> None:
    script = (ROOT / "agents/linux/linux-agent.sh").read_text()
    settings = re.findall(r"^        (DEFIB_\w+)\) \w+=\$2 ;;$", script, re.MULTILINE)
    assert "DEFIB_URL" in settings
    told = CONFIGURATION.section("Settings of the Linux agent").first_words
    assert sorted(set(told)) == sorted(settings)


def _as_written(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


# the policy


def test_each_field_of_systemconfig_is_in_safety_with_its_default_and_range() -> None:
    rows = SAFETY.section("The policy, field by field").rows[1:]
    told = {row[0].strip("`"): (row[1], row[2]) for row in rows}
    schema = _schema_of_systemconfig()
    assert sorted(told) == sorted(schema)
    wrong = {
        name: (told[name], _default_and_range(field))
        for name, field in schema.items()
        if not _agrees(told[name], _default_and_range(field))
    }
    assert wrong == {}


def _schema_of_systemconfig() -> dict[str, dict[str, object]]:
    text = (ROOT / "crds/defib.dev_systemconfigs.yaml").read_text()
    version = yaml.safe_load(text)["spec"]["versions"][0]
    fields = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    safety = fields.pop("safety")["properties"]
    return {**fields, **{f"safety.{name}": field for name, field in safety.items()}}


def _default_and_range(field: dict[str, object]) -> tuple[str, str]:
    default = field.get("default")
    words = f"[{', '.join(default)}]" if isinstance(default, list) else _word(default)
    limits = f"{field['minimum']} to {field['maximum']}" if "minimum" in field else ""
    return words, limits


def _word(default: object) -> str:
    return "none" if default is None else str(default).lower()


def _agrees(told: tuple[str, str], wanted: tuple[str, str]) -> bool:
    """The page may add a unit to a default, and a word where there is no range of numbers."""
    default = told[0].strip("`")
    same_default = default == wanted[0] or default.startswith(f"{wanted[0]} ")
    return same_default and (told[1] == wanted[1] or not wanted[1])


# what else has a name


def test_each_table_is_in_the_architecture() -> None:
    told = page("docs/architecture.md").section("Data").first_words
    assert sorted(told) == sorted(metadata.tables)


def test_each_event_of_the_log_that_is_explained_is_one_that_is_logged() -> None:
    told = OPERATIONS.section("The log").first_words
    assert "reset_intended" in told
    sources = "".join(
        path.read_text()
        for folder in ("operator", "api", "core", "notify")
        for path in (ROOT / folder).rglob("*.py")
    )
    assert [event for event in told if f'"{event}"' not in sources] == []


def _pages_with_commands() -> list[Page]:
    return [page("README.md"), page("CONTRIBUTING.md"), *map(page, _names_of_docs())]


def _names_of_docs() -> list[str]:
    return [str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("one", _pages_with_commands(), ids=lambda one: one.name)
def test_each_target_of_make_that_is_named_exists(one: Page) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {
        word
        for line in one.code
        for command in re.findall(r"(?:^|&& |\$ )make((?: +[\w=.\"/-]+)*)", line.strip())
        for word in re.findall(r"(?<![\w=\".-])[a-z][a-z-]*(?![\w=])", _without_flags(command))
    }
    assert named - targets == set()


def _without_flags(command: str) -> str:
    return re.sub(r"\w+=(\"[^\"]*\"?|\S+)", "", command)
