"""`defib explain VM`: why it is, or is not, being reset."""

import typer

from defib_cli.api_client import Where, connect
from defib_cli.person import (
    Api,
    AsJson,
    CaFile,
    TheVm,
    TokenFile,
    find_vm,
    print_json,
    readable_errors,
)


def explain(
    vm: TheVm,
    *,
    as_json: AsJson = False,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Say why a VM is, or is not, being reset: its clocks, every check, the last decisions."""
    with readable_errors():
        client = connect(Where(api, token_file, ca_file))
        told = client.get(f"/api/vms/{find_vm(client, vm)['id']}/explain")
    if as_json:
        print_json(told)
    else:
        typer.echo(told["text"], nl=False)
