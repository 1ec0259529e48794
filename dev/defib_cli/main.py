"""The program `defib`: one command group a module, of which only the one asked for is loaded.

A production image holds only the extras of its own process, so nothing here may import another's.
"""

import importlib
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import NoReturn

import typer

from defib_core.config.settings import SettingsError

USAGE_ERROR = 2
FAILED = 1
NOT_MIGRATED = "the database's schema is missing or too old; run `defib db upgrade`"


@dataclass(frozen=True, slots=True)
class Group:
    """Where a command group lives, and which extra it needs."""

    module: str
    extra: str | None
    summary: str


GROUPS = {
    "api": Group("defib_cli.api_commands", "api", "Serve heartbeats and the dashboard's API."),
    "operator": Group("defib_cli.operator_commands", "operator", "Run the operator."),
    "relay": Group("defib_cli.relay_commands", None, "Take reports on a site and forward them."),
    "notify": Group(
        "defib_cli.notify_commands", None, "Tell people: mail, chats, pagers, webhooks."
    ),
    "db": Group("defib_cli.db_commands", None, "Bring the database to this version's schema."),
    "token": Group("defib_cli.token_commands", None, "Make tokens for agents and people."),
    "enrolment": Group(
        "defib_cli.enrolment_commands", None, "Let machines in: each gets a token of its own."
    ),
    "session": Group(
        "defib_cli.session_commands", None, "See who is signed in, and sign people out."
    ),
    "maintenance": Group(
        "defib_cli.maintenance_commands", None, "Plan work: VMs with certain labels are not reset."
    ),
    "agent": Group(
        "defib_cli.agent_commands",
        "dev",
        "Hold servers and agents to the protocol; what ours cost.",
    ),
    "dev": Group("defib_cli.dev_commands", "dev", "The local stack and its simulators."),
}

PERSON = "defib_cli.person_commands"

COMMANDS = {
    "explain": Group("defib_cli.explain_command", None, "Say why a VM is, or is not, being reset."),
    "coverage": Group(
        "defib_cli.coverage_command", None, "Say what nobody watches, and nobody would reset."
    ),
    "doctor": Group("defib_cli.doctor_command", None, "Look at everything that Defib needs."),
    "pause": Group(PERSON, None, "Keep a VM from being reset by itself."),
    "unpause": Group(PERSON, None, "End a VM's pause."),
    "reset": Group(PERSON, None, "Reset a VM now."),
    "clear": Group(PERSON, None, "Set a VM's attempts back to 0."),
    "stop": Group(PERSON, None, "Stop every reset, everywhere."),
    "go": Group(PERSON, None, "End the stop of everything."),
    "audit": Group(PERSON, None, "Show who did what, when and why."),
    "simulate": Group(
        "defib_cli.simulate_commands", "dev", "Play scenarios against a policy, on a virtual clock."
    ),
}
"""Commands without subcommands: a function of the command's name in a module of their own."""


def build(asked_for: str | None) -> typer.Typer:
    """Build the program with the group that is asked for; the others only show their summary."""
    app = typer.Typer(
        help="Heartbeats in, resets out: finds dead Proxmox VMs and resets them, safely.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_show_locals=False,
    )
    for name, group in GROUPS.items():
        commands = _load(name, group).app if name == asked_for else _placeholder()
        app.add_typer(commands, name=name, help=group.summary)
    for name, command in COMMANDS.items():
        run = getattr(_load(name, command), name) if name == asked_for else _nothing
        app.command(name, help=command.summary)(run)
    return app


def _nothing() -> None:
    """Stand in for a command that is not asked for."""


def _placeholder() -> typer.Typer:
    empty = typer.Typer()
    empty.callback(invoke_without_command=True)(lambda: None)
    return empty


def _load(name: str, group: Group) -> ModuleType:
    try:
        return importlib.import_module(group.module)
    except ModuleNotFoundError as error:
        if group.extra is None or (error.name or "").startswith("defib"):
            raise
        _fail(
            f"`defib {name}` needs {error.name}, which is not installed:"
            f" pip install 'defib[{group.extra}]'"
        )


def _fail(message: str, code: int = USAGE_ERROR) -> NoReturn:
    typer.secho(f"defib: {message}", fg=typer.colors.RED, err=True)
    raise SystemExit(code)


def main() -> None:
    """Run the program; a wrong environment is one readable line, not a traceback."""
    app = build(sys.argv[1] if len(sys.argv) > 1 else None)
    try:
        app()
    except SettingsError as error:
        _fail(str(error))
    except Exception as error:
        why = _database_trouble(error)
        if why is None:
            raise
        _fail(why, FAILED)


def _database_trouble(error: Exception) -> str | None:
    """Say what is wrong with the database; None where something else is."""
    from defib_core.store import failures, fitness, migrate  # noqa: PLC0415 - `--help` needs none

    if isinstance(error, (migrate.NewerSchema, migrate.LocksHeld, fitness.UnfitDatabase)):
        return str(error)
    if not isinstance(error, failures.DATABASE_ERRORS):
        return None
    if failures.is_schema_missing(error):
        return NOT_MIGRATED
    if failures.is_away(error):
        return f"cannot reach PostgreSQL: {failures.explain(error)}"
    return None


if __name__ == "__main__":
    main()
