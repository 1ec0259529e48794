"""How log lines are written."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from defib_core.config.logs import configure_logging
from defib_core.config.settings import LogFormat
from support.logged import logging_kept

PASSWORD = "top-secret"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Whatever a test configures is undone."""
    with logging_kept():
        yield


def test_a_line_is_one_json_object_with_an_event_and_fields() -> None:
    out = io.StringIO()
    configure_logging("info", LogFormat.JSON, out)
    structlog.get_logger("x").info("vm.down", vm=5)
    line = json.loads(out.getvalue())
    assert (line["event"], line["vm"], line["level"], line["logger"]) == ("vm.down", 5, "info", "x")
    assert line["timestamp"].endswith("Z")


def test_what_others_log_comes_out_in_the_same_form() -> None:
    out = io.StringIO()
    configure_logging("info", LogFormat.JSON, out)
    logging.getLogger("uvicorn.error").info("port %d", 3000, extra={"color_message": "\x1b[1m"})
    line = json.loads(out.getvalue())
    assert (line["event"], line["logger"]) == ("port 3000", "uvicorn.error")
    assert "color_message" not in line


def test_below_the_level_nothing_is_written() -> None:
    out = io.StringIO()
    configure_logging("warning", LogFormat.JSON, out)
    structlog.get_logger("x").info("quiet")
    logging.getLogger("other").info("quiet")
    assert out.getvalue() == ""


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_a_traceback_never_shows_local_variables(log_format: LogFormat) -> None:
    out = io.StringIO()
    configure_logging("info", log_format, out)

    def fails(password: str) -> None:
        raise ValueError(len(password))

    try:
        fails(PASSWORD)
    except ValueError:
        structlog.get_logger("x").exception("broken")
    assert "ValueError" in out.getvalue()
    assert PASSWORD not in out.getvalue()
