"""`defib operator`: the operator process."""

import os

import typer

from defib_core.config.settings import OperatorSettings
from defib_operator.main import run as run_operator

app = typer.Typer(help="Run the operator.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Hold the commands together."""


@app.command()
def run() -> None:
    """Watch the custom resources, sweep the fleet and reset what is dead, until told to stop."""
    run_operator(OperatorSettings.from_environment(os.environ))
