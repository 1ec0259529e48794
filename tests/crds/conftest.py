"""The definitions, examples and refused manifests, as the tests of this folder read them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from defib_core.config.base import SpecModel
from defib_core.config.proxmox_cluster import parse_proxmox_cluster
from defib_core.config.resources import RESOURCES
from defib_core.config.system_config import parse_system_config
from defib_core.config.virtual_machine import parse_virtual_machine

DEFINITIONS = Path(__file__).parents[2] / "crds"

Parse = Callable[[Mapping[str, Any]], SpecModel]

PARSERS: dict[str, Parse] = {
    "VirtualMachine": parse_virtual_machine,
    "SystemConfig": parse_system_config,
    "ProxmoxCluster": parse_proxmox_cluster,
}


@pytest.fixture(scope="session")
def definitions() -> dict[str, dict[str, Any]]:
    """Each CustomResourceDefinition by its kind."""
    read = (
        yaml.safe_load((DEFINITIONS / f"defib.dev_{resource.plural}.yaml").read_text())
        for resource in RESOURCES
    )
    return {definition["spec"]["names"]["kind"]: definition for definition in read}


@pytest.fixture(scope="session")
def schemas(definitions: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each kind's schema, from the root of its objects."""
    return {
        kind: definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for kind, definition in definitions.items()
    }


@pytest.fixture(scope="session")
def parsers() -> dict[str, Parse]:
    """Each kind's parse function."""
    return PARSERS
