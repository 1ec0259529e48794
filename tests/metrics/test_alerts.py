"""Each alert fires when it should and not before, by promtool; each has a page for the person."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from defib_dev.components import prometheus

ROOT = Path(__file__).parents[2]
RULES = ROOT / "helm/defib/alerts/defib.rules.yaml"
RUNBOOKS = ROOT / "docs/runbooks"
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in ALERTS]
# Read as text: promtool's "0x60" is a number to YAML.
CASES: list[dict[str, Any]] = yaml.load(
    (Path(__file__).parent / "alerts.yaml").read_text(), Loader=yaml.BaseLoader
)
AT = "30m"


def promtool(*arguments: str) -> str:
    ran = subprocess.run(
        [str(prometheus.require("promtool")), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_promtool_takes_the_file() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", str(RULES))


def test_each_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    assert [case["alert"] for case in CASES] == sorted(NAMES, key=_place_of)
    assert all(case["fires"] and case["quiet"] for case in CASES)


def test_each_alert_fires_when_it_should_and_not_otherwise(tmp_path: Path) -> None:
    told = [
        _told(case, series, firing=which != "quiet")
        for case in CASES
        for which, series in case.items()
        if isinstance(series, dict)
    ]
    file = tmp_path / "alerts.test.yaml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": told})
    )
    assert "SUCCESS" in promtool("test", "rules", str(file))


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_each_alert_says_how_bad_it_is_and_names_its_page(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert "$" not in notes["summary"]
    assert notes["runbook_url"].endswith(f"/docs/runbooks/{rule['alert']}.md")


def test_each_page_is_of_an_alert_and_shows_its_expression() -> None:
    pages = {file.stem: file.read_text() for file in RUNBOOKS.glob("*.md")}
    assert sorted(pages) == sorted(NAMES)
    for rule in ALERTS:
        page = pages[rule["alert"]]
        shown = re.search(r"```promql\n(.*?)\n```", page, re.DOTALL)
        assert shown is not None, rule["alert"]
        assert shown[1].split() == rule["expr"].split(), rule["alert"]
        assert f"Severity: {rule['labels']['severity']}." in page
        for heading in ("What it does harm to", "Where to look", "What to do"):
            assert f"## {heading}\n" in page, rule["alert"]


def _place_of(name: str) -> int:
    return [case["alert"] for case in CASES].index(name)


def _told(case: dict[str, Any], series: dict[str, str], *, firing: bool) -> dict[str, Any]:
    """One test of promtool's: these series, and whether the alert fires at the time."""
    found = f'count(ALERTS{{alertname="{case["alert"]}",alertstate="firing"}})'
    asked = {
        "expr": f"{found} > bool 0 or vector(0)",
        "eval_time": case.get("at", AT),
        "exp_samples": [{"labels": "{}", "value": int(firing)}],
    }
    return {
        "interval": "1m",
        "name": f"{case['alert']}: {'fires' if firing else 'quiet'}",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [asked],
    }
