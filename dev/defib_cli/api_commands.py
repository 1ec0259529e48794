"""`defib api ...`: run the API, and write down its OpenAPI document."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from defib_core.config.settings import ApiSettings, SettingsError

app = typer.Typer(help="The API: takes heartbeats, shows the fleet.", no_args_is_help=True)


@app.callback()
def api() -> None:
    """Keep `serve` a subcommand."""


@app.command()
def serve() -> None:
    """Run the API; it is configured by DEFIB_* variables, see docs/api.md."""
    from defib_api.main import serve as run  # noqa: PLC0415 - only this command needs the extra

    try:
        settings = ApiSettings.from_environment(os.environ)
    except SettingsError as error:
        typer.echo(f"defib api serve: {error}", err=True)
        raise typer.Exit(2) from error
    run(settings)


@app.command()
def openapi(
    output: Annotated[Path | None, typer.Option(help="Write there instead of printing.")] = None,
    check: Annotated[bool, typer.Option(help="Fail where OUTPUT differs; write nothing.")] = False,
) -> None:
    """Print the OpenAPI document; api/openapi.json is kept equal to it."""
    from defib_api.app import dashboard_app  # noqa: PLC0415 - only this command needs the extra
    from defib_api.openapi import as_text  # noqa: PLC0415

    text = as_text(dashboard_app(None))
    if output is None:
        sys.stdout.write(text)
    elif not check:
        output.write_text(text)
    elif not output.exists() or output.read_text() != text:
        typer.echo(f"{output} is out of date: defib api openapi --output {output}", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
