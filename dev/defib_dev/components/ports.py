"""Ports on loopback: whether one is free, who holds it, and a free one for tests."""

import socket

import psutil

from defib_dev.components.errors import PortInUseError

LOOPBACK = "127.0.0.1"


def require_free(port: int, *, needed_by: str) -> None:
    """Raise `PortInUseError` when something listens on the port already."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise PortInUseError(port, needed_by=needed_by, holder=_holder(port)) from error


def free_port() -> int:
    """A port nobody listens on now. Somebody may take it before you do: bind soon."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _holder(port: int) -> str | None:
    """The program that listens, as far as the system lets us see."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN
        if listens and _port_of(connection.laddr) == port and connection.pid is not None:
            return f"{_program(connection.pid)} (process {connection.pid})"
    return None


def _port_of(address: tuple[object, ...]) -> object:
    return address[1] if len(address) > 1 else None


def _program(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "a program"
