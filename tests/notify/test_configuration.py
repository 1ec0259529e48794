"""What is wrong in the file is said by its place, and never by its value."""

from pathlib import Path

import pytest

from defib_core.config.settings import SettingsError
from defib_notify.configuration import read
from notify.outbox import SECRET

GOOD = f"""
destinations:
  - name: on-call
    webhook: {{url: "https://hooks.example.com/defib", secret: {SECRET}}}
    kinds: [ResetFailed, BrakeInForce]
    atLeast: critical
    quiet: [{{from: "22:00", to: "07:00", days: [mon, tue], timezone: Europe/Berlin}}]
  - name: mail
    apprise: mailtos://user:geheim@smtp.example.com?to=ops@example.com
deadMansSwitch: {{url: "https://ping.example.com/1", everySeconds: 30}}
allowedNetworks: [10.0.0.0/8]
"""


def refusal(tmp_path: Path, text: str) -> str:
    file = tmp_path / "notify.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        read(file)
    assert "geheim" not in str(refused.value)
    return str(refused.value)


def test_a_good_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "notify.yaml"
    file.write_text(GOOD)
    config = read(file)
    assert [one.name for one in config.destinations] == ["on-call", "mail"]
    assert "geheim" not in repr(config)
    assert SECRET not in repr(config)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("destinations: [{name: a}]", "destinations.0: Value error, needs either webhook"),
        ("destination: []", "destination: Extra inputs"),
        ("destinations: [{name: A B, apprise: 'ntfy://geheim'}]", "destinations.0.name"),
        ("destinations: [{name: a, apprise: 'json://geheim/x'}]", "the scheme must be one of"),
        ("destinations: [{name: a, apprise: 'exec://geheim'}]", "the scheme must be one of"),
        ("destinations: [{name: a, apprise: 'file:///geheim'}]", "the scheme must be one of"),
        (
            "destinations: [{name: a, webhook: {url: 'ftp://x', secret: geheim}}]",
            "must be http:// or https://",
        ),
        (
            "destinations: [{name: a, webhook: {url: 'https://u:geheim@x', secret: geheim}}]",
            "must not hold a user",
        ),
        (
            "destinations: [{name: a, webhook: {url: 'https://x', secret: geheim}}]",
            "must begin with whsec_",
        ),
        (
            "destinations: [{name: a, webhook: {url: 'https://x', secret: whsec_Z2VoZWlt}}]",
            "is too short",
        ),
        ("deadMansSwitch: {url: 'https://x', everySeconds: 1}", "deadMansSwitch.everySeconds"),
        ("allowedNetworks: [10.0.0.1/8]", "allowedNetworks.0"),
        ("[1, 2", "is not YAML (line 1)"),
        (GOOD.replace("Europe/Berlin", "Berlin"), "is no time zone"),
        (GOOD.replace('to: "07:00"', 'to: "22:00"'), "from and to are the same"),
        (GOOD.replace("name: mail", "name: on-call"), "two destinations have the same name"),
    ],
)
def test_a_wrong_file_is_refused_readably(tmp_path: Path, text: str, says: str) -> None:
    assert says in refusal(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*gone\.yaml"):
        read(tmp_path / "gone.yaml")
