"""Whether the worker lives and works, as the kubelet asks; and the program around it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from defib_dev.components import processes
from defib_dev.components.ports import free_port
from defib_dev.components.processes import ProcessSpec
from defib_notify.probes import TURN_SECONDS, WELL_SECONDS, Pulse
from support.waiting import eventually

PROGRAM = Path(sys.executable).parent / "defib"
LONG = 60


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_it_is_ready_once_it_got_through_a_turn_and_while_it_goes_on() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    assert pulse.trouble() == "it has not got through a turn yet"
    pulse.turned()
    assert pulse.trouble() is None
    clock.now += WELL_SECONDS
    pulse.failed("connection refused")
    assert pulse.trouble() is None, "a short outage is no news"
    clock.now += 1
    assert pulse.trouble() == "connection refused"
    assert not pulse.is_stuck()
    pulse.turned()
    assert pulse.trouble() is None


def test_a_loop_that_does_not_turn_is_stuck() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    pulse.turned()
    clock.now += TURN_SECONDS
    assert not pulse.is_stuck()
    assert pulse.trouble() == "its loop has not turned for a while"
    clock.now += 1
    assert pulse.is_stuck()
    pulse.failed("connection refused")
    assert not pulse.is_stuck()


def test_a_running_worker_answers_its_probes(database_url: str, tmp_path: Path) -> None:
    with running(database_url, tmp_path) as port:
        eventually(
            lambda: asked(port, "/readyz") == (200, {"ready": True, "why": None}),
            what="it is ready",
            deadline_seconds=LONG,
        )
        assert asked(port, "/livez") == (200, {"alive": True})
        assert asked(port, "/metrics")[0] == 404


def test_a_worker_without_its_database_lives_and_says_what_is_missing(tmp_path: Path) -> None:
    nowhere = "postgresql://defib:geheim@127.0.0.1:1/defib"
    with running(nowhere, tmp_path) as port:
        eventually(
            lambda: "refused" in str(asked(port, "/readyz")[1].get("why")),
            what="it says why it is not ready",
            deadline_seconds=LONG,
        )
        status, body = asked(port, "/readyz")
        assert status == 503
        assert "geheim" not in str(body)
        assert asked(port, "/livez")[0] == 200


def test_without_its_file_it_says_so_in_one_line(tmp_path: Path) -> None:
    missing = str(tmp_path / "notify.yaml")
    given = {"DEFIB_DATABASE_URL": "postgresql://defib:geheim@127.0.0.1:1/defib"}
    assert "DEFIB_NOTIFY_CONFIG is not set" in line_of(defib("run", **given))
    said = line_of(defib("run", **given, DEFIB_NOTIFY_CONFIG=missing))
    assert said == f"defib: cannot read {missing}: No such file or directory"


def test_a_destination_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "notify.yaml"
    file.write_text("destinations: []\n")
    url = "postgresql://defib:geheim@127.0.0.1:1/defib"
    ran = defib("test", "nobody", DEFIB_DATABASE_URL=url, DEFIB_NOTIFY_CONFIG=str(file))
    assert line_of(ran) == "defib notify test: there is no destination named nobody"


def test_dead_letters_are_listed_and_sent_again(database_url: str) -> None:
    assert defib("list", DEFIB_DATABASE_URL=database_url).stdout == ""
    said = line_of(defib("retry", "17", DEFIB_DATABASE_URL=database_url))
    assert said == "defib notify retry: there is no dead letter 17"
    with psycopg.connect(database_url) as connection:
        ((number,),) = connection.execute(
            "INSERT INTO delivery (destination, group_key, severity, notices, created_at, next_at,"
            " attempts, dead_at, error) VALUES ('hook', 'node default/pve1', 'warning', '[]',"
            " now(), now(), 10, now(), 'it was answered 404') RETURNING id"
        ).fetchall()
    listed = defib("list", DEFIB_DATABASE_URL=database_url).stdout
    assert listed.startswith(f"{number}  hook  warning  node default/pve1")
    assert "it was answered 404" in listed
    again = defib("retry", str(number), DEFIB_DATABASE_URL=database_url)
    assert again.stdout == f"{number} is sent again.\n"
    assert "dead" not in defib("list", DEFIB_DATABASE_URL=database_url).stdout


@pytest.mark.parametrize("command", ["list", "retry"])
def test_a_database_that_is_away_is_said_to_be(command: str) -> None:
    words = [command, "1"] if command == "retry" else [command]
    url = "postgresql://defib:geheim@127.0.0.1:1/defib"
    line = line_of(defib(*words, DEFIB_DATABASE_URL=url))
    assert line.startswith("defib: cannot reach PostgreSQL: connection")


def defib(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, "notify", *words],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "COLUMNS": "200", **variables},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )


def line_of(ran: subprocess.CompletedProcess[str]) -> str:
    """The line that a failed command said, and no traceback."""
    assert ran.returncode != 0
    [line] = ran.stderr.splitlines()
    assert "geheim" not in line
    return line


@contextmanager
def running(url: str, folder: Path) -> Iterator[int]:
    """A worker without destinations, in a process of its own; gives the port of its probes."""
    file, port = folder / "notify.yaml", free_port()
    file.write_text("destinations: []\n")
    settings = {
        "DEFIB_DATABASE_URL": url,
        "DEFIB_NOTIFY_CONFIG": str(file),
        "DEFIB_PROBE_HOST": "127.0.0.1",
        "DEFIB_PROBE_PORT": str(port),
    }
    argv = (str(PROGRAM), "notify", "run")
    record = processes.start(
        ProcessSpec("notify", argv, settings, dies_with_parent=True), folder / "notify.log"
    )
    try:
        yield port
    finally:
        assert processes.is_running(record), (folder / "notify.log").read_text()
        processes.stop(record)


def asked(port: int, path: str) -> tuple[int, dict[str, object]]:
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5, trust_env=False)
    except httpx.TransportError as error:
        return 0, {"why": f"not listening: {type(error).__name__}"}
    return answer.status_code, answer.json()
