"""Settings: from variables or files, refused by the name of the variable, secrets in no text."""

from pathlib import Path

import pytest

from defib_core.config.settings import (
    ApiSettings,
    DatabaseSettings,
    LogFormat,
    OperatorSettings,
    SettingsError,
)

URL = "postgresql://defib:geheim@db:5432/defib"
GIVEN = {"DEFIB_DATABASE_URL": URL}


def test_one_variable_is_enough() -> None:
    settings = DatabaseSettings.from_environment(GIVEN)
    assert settings.database_url.get_secret_value() == URL
    assert (settings.namespace, settings.log_level) == ("defib", "info")
    assert (settings.log_format, settings.redis_url) == (LogFormat.JSON, None)


def test_each_process_has_its_own() -> None:
    api = ApiSettings.from_environment({**GIVEN, "DEFIB_API_PORT": "8080"})
    operator = OperatorSettings.from_environment({**GIVEN, "DEFIB_CLUSTER_WIDE": "true"})
    assert (api.api_port, operator.cluster_wide) == (8080, True)


def test_what_belongs_to_another_process_is_passed_over() -> None:
    environment = {**GIVEN, "DEFIB_API_PORT": "8080", "DEFIB_LEASE_SECONDS": "4"}
    assert DatabaseSettings.from_environment(environment).namespace == "defib"


def test_variables_of_others_are_none_of_ours() -> None:
    environment = {**GIVEN, "PATH": "/bin", "DEFIBRILLATOR": "x", "PGHOST": "other"}
    assert DatabaseSettings.from_environment(environment).namespace == "defib"


def test_headers_of_traces_are_read_as_otlp_writes_them() -> None:
    given = {**GIVEN, "DEFIB_TRACING_HEADERS": "Authorization=Bearer%20a%3Db, x-team=ops"}
    read = ApiSettings.from_environment(given).headers_of_traces
    assert read == {"Authorization": "Bearer a=b", "x-team": "ops"}


@pytest.mark.parametrize(
    "headers", ["geheim", "a=1,geheim", "=geheim", "a b=geheim", "a=ge%0Aheim"]
)
def test_headers_that_are_none_are_refused_unseen(headers: str) -> None:
    with pytest.raises(SettingsError, match="DEFIB_TRACING_HEADERS: ") as refused:
        ApiSettings.from_environment({**GIVEN, "DEFIB_TRACING_HEADERS": headers})
    assert "heim" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"DEFIB_DATABASE_URL": None}, "DEFIB_DATABASE_URL is not set (or DEFIB_DATABASE_URL_FILE"),
        ({"DEFIB_DATABASE_URL": ""}, "DEFIB_DATABASE_URL: "),
        ({"DEFIB_DATABASE_URL": "mysql://x"}, "DEFIB_DATABASE_URL: "),
        ({"DEFIB_DATABASE_URL": "postgresql://u:p@db:port/x"}, "DEFIB_DATABASE_URL: "),
        ({"DEFIB_DATABASE_URL": "postgresql://u:p@db:70000/x"}, "DEFIB_DATABASE_URL: "),
        ({"DEFIB_NAMESPACE": "Not_A_Namespace"}, "DEFIB_NAMESPACE: "),
        ({"DEFIB_LOG_LEVEL": "loud"}, "DEFIB_LOG_LEVEL: "),
        ({"DEFIB_LOG_FORMAT": "xml"}, "DEFIB_LOG_FORMAT: "),
        ({"DEFIB_API_PORT": "0"}, "DEFIB_API_PORT: "),
        ({"DEFIB_API_PORT": "many"}, "DEFIB_API_PORT: "),
        ({"DEFIB_DATABSE_URL": "x"}, "DEFIB_DATABSE_URL is not a setting of Defib; known: "),
        ({"DEFIB_TYPO_FILE": "/etc/hostname"}, "DEFIB_TYPO_FILE is not a setting of Defib"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, str | None], said: str) -> None:
    environment = {name: value for name, value in {**GIVEN, **changes}.items() if value is not None}
    with pytest.raises(SettingsError) as raised:
        ApiSettings.from_environment(environment)
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"DEFIB_DATABASE_URL .*; DEFIB_LOG_LEVEL: "):
        DatabaseSettings.from_environment({"DEFIB_LOG_LEVEL": "loud"})


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(URL + "\n")
    settings = DatabaseSettings.from_environment({"DEFIB_DATABASE_URL_FILE": str(tmp_path / "url")})
    assert settings.database_url.get_secret_value() == URL


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "url"
    with pytest.raises(SettingsError) as raised:
        DatabaseSettings.from_environment({"DEFIB_DATABASE_URL_FILE": str(missing)})
    expected = f"DEFIB_DATABASE_URL_FILE: cannot read {missing}: No such file or directory"
    assert str(raised.value) == expected


@pytest.mark.parametrize("url", [URL, "postgresql://defib:geheim@db:port/defib", "geheim"])
def test_no_secret_is_in_any_text(url: str) -> None:
    try:
        text = repr(DatabaseSettings.from_environment({"DEFIB_DATABASE_URL": url}))
    except SettingsError as error:
        text = str(error)
    assert "geheim" not in text
