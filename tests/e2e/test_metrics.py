"""A real Prometheus scrapes the real stack: what alerts and dashboards ask for is there."""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from defib_dev.components import processes, prometheus, readiness
from defib_dev.components.ports import free_port
from defib_dev.components.processes import ProcessSpec
from defib_dev.stack.programs import answer_missing
from support.live_stack import LiveStack
from support.relay_process import new_relay, relay_settings, serving
from support.running_api import SEED_REPORT
from support.waiting import eventually

ROOT = Path(__file__).parents[2]
RULES = ROOT / "helm/defib/alerts/defib.rules.yaml"
DASHBOARDS = sorted((ROOT / "helm/defib/dashboards").glob("*.json"))
METRIC = re.compile(r"\b(?:defib|process)_[a-z0-9_]+\b")
DEADLINE = 180


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        answer = httpx.get(self.url + path, params=parameters, timeout=30, trust_env=False)
        said = answer.json()
        assert said["status"] == "success", said
        return said["data"]

    def names(self) -> set[str]:
        return set(self.ask("/api/v1/label/__name__/values"))

    def query(self, expression: str) -> list[Any]:
        found: list[Any] = self.ask("/api/v1/query", query=expression)["result"]
        return found


@pytest.fixture(scope="module")
def relay(stack: LiveStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A relay before the stack's API, through which one VM reports; its port for metrics."""
    folder = tmp_path_factory.mktemp("relay")
    token = asyncio.run(new_relay(stack.status["database_url"], "site-a"))
    port, metrics = free_port(), free_port()
    settings = {
        **relay_settings(httpx.URL(stack.status["api"]).port or 0, token, folder / "spool", port),
        "DEFIB_METRICS_PORT": str(metrics),
        "DEFIB_METRICS_HOST": "127.0.0.1",
    }
    with serving("relay", settings, folder / "log"):
        ready = f"http://127.0.0.1:{port}/readyz"
        eventually(lambda: answer_missing(ready) is None, what="it is ready", deadline_seconds=60)
        answer = httpx.post(
            f"http://127.0.0.1:{port}/api/health/report",
            json={**SEED_REPORT, "hostname": "relayed-01", "vmid": "901"},
            headers={"X-API-Key": stack.status["agent_key"]},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        yield metrics


@pytest.fixture(scope="module")
def scraping(
    stack: LiveStack, relay: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Prometheus, with our alerts, scraping each second."""
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    targets = {
        **{name: httpx.URL(url).netloc.decode() for name, url in stack.status["metrics"].items()},
        "relay": f"127.0.0.1:{relay}",
    }
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": [target]}]}
            for name, target in targets.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    spec = ProcessSpec(
        "prometheus",
        (
            str(prometheus.require("prometheus")),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ),
        dies_with_parent=True,
    )
    url = f"http://127.0.0.1:{port}"
    record = processes.start(spec, folder / "log")
    try:
        readiness.wait_for_process(
            record, lambda: answer_missing(f"{url}/-/ready"), deadline_seconds=60
        )
        yield Prometheus(url)
    finally:
        processes.stop(record)


def expressions() -> dict[str, str]:
    """Each expression of the alerts and the dashboards, by where it stands."""
    found = {
        rule["alert"]: rule["expr"]
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
    }
    return found | dict(panels())


def panels() -> list[tuple[str, str]]:
    """Each expression of each panel, as Grafana would ask it."""
    return [
        (f"{file.stem}: {panel['title']} {target['refId']}", _asked(target["expr"]))
        for file in DASHBOARDS
        for panel in json.loads(file.read_text())["panels"]
        for target in panel.get("targets", [])
    ]


def _asked(expression: str) -> str:
    return expression.replace("$__rate_interval", "1m")


def test_every_metric_that_alerts_and_dashboards_use_is_scraped(scraping: Prometheus) -> None:
    used = {name: where for where, one in expressions().items() for name in METRIC.findall(one)}
    assert len(used) > 25

    def missing() -> dict[str, str]:
        there = scraping.names()
        return {name: where for name, where in used.items() if name not in there}

    eventually(lambda: not missing(), what="all are scraped", deadline_seconds=DEADLINE)


def test_each_panel_shows_something(scraping: Prometheus) -> None:
    asked = panels()
    assert len(asked) > 30

    def empty() -> list[str]:
        return [title for title, one in asked if not scraping.query(one)]

    seen: list[str] = []

    def none_is_empty() -> bool:
        seen[:] = empty()
        return not seen

    try:
        eventually(none_is_empty, what="each panel has data", deadline_seconds=DEADLINE)
    except AssertionError as error:
        raise AssertionError(f"{error}; empty: {seen}") from error


def test_prometheus_evaluates_each_alert_without_an_error(scraping: Prometheus) -> None:
    def unwell() -> list[str] | None:
        groups = scraping.ask("/api/v1/rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        if not rules or any(rule["health"] == "unknown" for rule in rules):
            return None
        return [
            f"{rule['name']}: {rule.get('lastError')}" for rule in rules if rule["health"] != "ok"
        ]

    eventually(lambda: unwell() is not None, what="all were evaluated", deadline_seconds=DEADLINE)
    assert unwell() == []


def test_while_all_is_well_no_alert_about_defib_itself_fires(scraping: Prometheus) -> None:
    found = scraping.query('ALERTS{alertstate="firing",alertname=~"DefibNoLeader|DefibIngestDown"}')
    assert found == []
    assert scraping.query("sum(defib_leader)")[0]["value"][1] == "1"
