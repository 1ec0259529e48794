"""Everything the doctor looks at, real: the operator's world, and an API."""

from operator_process.conftest import authority_folder, empty_world, logged, namespace

__all__ = ["authority_folder", "empty_world", "logged", "namespace"]
