"""The Windows scripts as far as text allows: PowerShell itself cannot be had where this runs.

Their syntax is checked by tree-sitter's grammar, and what must not be in them is looked for.
"""

import re
from pathlib import Path

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

FOLDER = Path(__file__).parents[2] / "agents" / "windows"
SCRIPTS = sorted(FOLDER.rglob("*.ps1"))
AGENT = (FOLDER / "windows-agent.ps1").read_text()
LINUX = (FOLDER.parent / "linux" / "linux-agent.sh").read_text()
FORBIDDEN = {
    "runs text": r"\b(Invoke-Expression|iex)\b",
    "switches TLS verification off": r"SkipCertificateCheck|ServerCertificateValidationCallback",
    "is only in PowerShell 7": r"\?\?|\?\.|&&|\|\||-Parallel\b|ConvertFrom-Json -AsHash",
    "is the old WMI": r"Get-WmiObject|\bgwmi\b",
    "needs a screen": r"Write-Host|Read-Host|Out-GridView|MessageBox",
}


def errors(node: Node) -> list[str]:
    if node.is_error or node.is_missing:
        return [f"line {node.start_point[0] + 1}: {node.text!r:.80}"]
    return [found for child in node.children for found in errors(child)]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_syntax_is_powershells(script: Path) -> None:
    parser = Parser(Language(tree_sitter_powershell.language()))
    assert errors(parser.parse(script.read_text().encode()).root_node) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_it_is_plain_ascii(script: Path) -> None:
    # Windows PowerShell reads a file without a mark in the machine's own code page.
    assert script.read_bytes().isascii()


@pytest.mark.parametrize("what", FORBIDDEN)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_nothing_forbidden_is_in_it(script: Path, what: str) -> None:
    assert re.findall(FORBIDDEN[what], script.read_text()) == []


@pytest.mark.parametrize("name", ["install.ps1", "uninstall.ps1"])
def test_rights_are_asked_for_in_words_and_a_dry_run_needs_none(name: str) -> None:
    # #Requires counts in files only, and the installer's text comes over the network.
    text = (FOLDER / name).read_text()
    assert "#Requires -RunAsAdministrator" not in text
    assert "WindowsBuiltInRole]::Administrator" in text
    assert re.search(r"-not \$DryRun -and -not .*\n?.*throw ", text)


@pytest.mark.parametrize("name", ["install.ps1", "windows-agent.ps1"])
def test_whoever_speaks_to_the_server_can_do_tls_1_2(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert re.search(r"if \(\[int\]\$now -ne 0\) .*SecurityProtocolType\]::Tls12", text)


def test_a_task_a_key_and_a_folder_are_for_the_system_and_the_agents_account_alone() -> None:
    text = (FOLDER / "install.ps1").read_text()
    assert "'S-1-5-18', 'S-1-5-32-544', 'S-1-5-19'" in text
    assert "SetAccessRuleProtection($true, $false)" in text
    assert "-RunLevel Limited" in text
    # The folder is closed before the key is in it.
    assert text.index("Set-Private $Folder $true") < text.index("Write-File 'agent.key'")


def test_nothing_is_asked_so_that_it_runs_unattended() -> None:
    for script in SCRIPTS:
        assert not re.search(r"-Confirm(?!:\$false)|Mandatory|-Credential\b", script.read_text())


def test_platform_calls_stand_in_functions_of_their_own() -> None:
    calls = r"Get-CimInstance|Get-ItemProperty|Get-Acl|Get-Random|Start-Sleep|System\.Net\.Http"
    inside = re.split(r"^function ", AGENT, flags=re.MULTILINE)
    for function in inside[1:]:
        name = function.split(maxsplit=1)[0]
        if re.search(calls, function.split("\n}\n")[0]):
            assert name.startswith(("Read-", "Wait-", "Get-Draw", "Send-Json", "Get-HttpClient"))


def test_it_sends_the_fields_that_the_linux_agent_sends() -> None:
    puts = r"^    put_(?:text|number) (\w+)|&& put_number (\w+)"
    linux = re.findall(puts, LINUX, re.MULTILINE)
    fields = {one or other for one, other in linux}
    for name in fields - {"hostname"}:
        assert re.search(rf"\b{name}\b", AGENT), name


def test_both_agents_have_one_version() -> None:
    linux = re.search(r"^version=(\S+)", LINUX, re.MULTILINE)
    assert linux is not None
    assert f"$AgentVersion = '{linux[1]}'" in AGENT
