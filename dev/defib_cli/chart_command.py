"""`defib dev chart`: makes those files of the Helm chart that are made of others."""

from typing import Annotated

import typer

from defib_dev.chart import files
from defib_dev.chart.values import ValuesError


def chart(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if stale.")] = False,
) -> None:
    """Make the chart's README and schema of its values.yaml, and its copy of crds/."""
    try:
        stale = files.outdated() if check else files.write()
    except (ValuesError, OSError) as error:
        typer.echo(f"defib dev chart: {error}", err=True)
        raise typer.Exit(2) from error
    for file in stale:
        typer.echo(f"{'out of date' if check else 'written'}: {file.relative_to(files.CHECKOUT)}")
    if check and stale:
        raise typer.Exit(1)
