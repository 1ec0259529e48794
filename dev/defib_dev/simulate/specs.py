"""SystemConfig specs as a scenario writes them: some fields, laid over others. Pure."""

from collections.abc import Mapping

from defib_core.config.base import InvalidSpec
from defib_core.config.system_config import parse_system_config

Raw = Mapping[str, object]


def merged(spec: Raw, change: Raw) -> Raw:
    """Lay a change over a spec, inside `safety` field by field."""
    laid = dict(spec)
    for name, value in change.items():
        below = laid.get(name)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        laid[name] = merged(below, value) if both else value  # type: ignore[arg-type]  # both are mappings
    return laid


def is_only_risky(spec: Raw) -> bool:
    """Whether a refused spec would be taken if somebody acknowledged the risk."""
    try:
        parse_system_config({**spec, "acknowledgeRisk": True})
    except InvalidSpec:
        return False
    return True
