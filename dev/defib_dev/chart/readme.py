"""The chart's README: what it is for, and a row for each value. Pure."""

import json
from collections.abc import Iterable
from typing import Any

from defib_dev.chart.values import Value

_HEAD = """# The Helm chart of Defib

Installs API and operator into a namespace, with the rights they need and no more, and brings
your database to their schema. [Step by step](../../docs/install.md).

```sh
helm install defib helm/defib --namespace defib --set database.existingSecret=defib-database
```

Passwords and tokens are never values: the chart takes the names of Secrets that exist. The
custom resource definitions in `crds/` are installed with the first release, stay when it is
uninstalled, and are [upgraded by you](../../docs/install.md#upgrading).

## Values

Made of the comments in [values.yaml](values.yaml) by `defib dev chart`, as is the schema that
refuses wrong values.

| value | default | |
|---|---|---|
"""


def readme_of(values: Iterable[Value]) -> str:
    """Write the whole file."""
    return _HEAD + "".join(_row(value) for value in values)


def _row(value: Value) -> str:
    description = value.description.replace("|", "\\|")
    if words := value.narrowed.get("enum"):
        description += " One of " + ", ".join(_code(word) for word in words) + "."
    return f"| `{value.name}` | {_code(value.default)} | {description} |\n"


def _code(default: Any) -> str:  # noqa: ANN401 - any YAML
    text = default if isinstance(default, str) and default else json.dumps(default)
    return f"`{text}`"
