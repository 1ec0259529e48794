"""What can be said of the images without a container engine. They are not built here."""

import re
from pathlib import Path
from typing import Any

import yaml

from support.helm import CHART

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / "Containerfile").read_text()
_STAGES = r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)"
TARGETS = dict(re.findall(_STAGES, CONTAINERFILE, re.MULTILINE | re.DOTALL))
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())


def test_the_base_image_is_pinned_to_a_full_version() -> None:
    pulled = re.findall(r"^FROM (\S+[:@]\S+)", CONTAINERFILE, re.MULTILINE)
    assert pulled
    assert all(re.search(r":\d+\.\d+\.\d+-(slim-\w+|\w+-slim)$|@sha256:", one) for one in pulled)


def test_each_image_runs_as_the_user_that_the_chart_runs_it_as() -> None:
    for target in ("api", "notify", "operator", "relay"):
        assert "USER 10001:10001" in TARGETS[target]
        assert 'ENTRYPOINT ["defib"]' in TARGETS[target]


def test_each_image_holds_the_extra_of_its_own_process_only() -> None:
    for target in ("api", "notify", "operator", "relay"):
        extras = re.findall(r"--extra (\w+)", TARGETS[f"build-{target}"])
        assert extras == ([target, "tracing"] if target in {"api", "operator"} else [target])
        assert f"COPY --from=build-{target} " in TARGETS[target]


def test_what_is_copied_exists_and_reaches_the_builder() -> None:
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(.+)$", CONTAINERFILE, re.MULTILINE)
        for name in line.split()[:-1]
    }
    kept = {
        line[1:]
        for line in (ROOT / ".containerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert {name.partition("/")[0] for name in copied} == kept
    assert all((ROOT / name).exists() for name in copied)
    assert (ROOT / ".dockerignore").read_text() == (ROOT / ".containerignore").read_text()


def test_uv_is_the_one_that_wrote_the_lock() -> None:
    (pinned,) = re.findall(r'"uv==(.+?)"', (ROOT / "pyproject.toml").read_text())
    assert f"uv=={pinned}" in CONTAINERFILE


def test_chart_and_package_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    (version,) = re.findall(
        r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_the_release_tests_first_and_every_action_has_a_version() -> None:
    jobs = WORKFLOW["jobs"]
    assert jobs["images"]["needs"] == "test"
    assert jobs["chart"]["needs"] == "images"
    used = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+@v\d+", one) for one in used)
    built = next(step["with"] for step in jobs["images"]["steps"] if "sbom" in step.get("with", {}))
    assert (built["sbom"], built["file"]) == (True, "Containerfile")
    assert set(jobs["images"]["strategy"]["matrix"]["part"]) <= set(TARGETS)


def test_the_example_of_external_secrets_makes_what_the_chart_refers_to() -> None:
    text = (CHART / "examples" / "external-secrets.yaml").read_text()
    made = {
        one["spec"]["target"]["name"]: {key["secretKey"] for key in one["spec"]["data"]}
        for one in yaml.safe_load_all(text)
    }
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    (token,) = values["rbac"]["proxmoxSecrets"]
    assert made == {
        values["database"]["existingSecret"]: {values["database"]["secretKey"]},
        token: {"tokenId", "tokenSecret"},
    }
