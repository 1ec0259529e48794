"""A real QEMU behind a simulated guest: its power state, its reset and its counters are QEMU's own.

The one machine here that does I/O. QMP is asked over a local socket, one short connection a
question, with a deadline: a QEMU whose main loop hangs answers nobody, as on a real node.
"""

import json
import shutil
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from defib_dev.proxmox_sim.machine import Counters, MachineError, Power

QMP_SECONDS = 3.0
STOP_SECONDS = 10.0
PCAP_HEAD = 24
"""What a capture file begins with; what follows is traffic, and 16 bytes for each packet."""
API_ADDRESS = "10.0.2.100"
"""Where the guest finds the API: all it can reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QemuSettings:
    """How to start it. The guest reaches `api_port` on this machine's loopback, nothing else."""

    kernel: Path
    initrd: Path
    folder: Path
    """Its sockets, its console's log and its captures; it must exist."""
    api_port: int
    disk: Path | None = None
    """A raw image, the guest's first virtio disk."""
    memory_mib: int = 256
    append: str = "console=ttyS0 quiet panic=0 no_timer_check"
    """Without no_timer_check a guest that is emulated on a busy machine may panic at boot."""

    @property
    def console(self) -> Path:
        """The guest's serial console, as a socket."""
        return self.folder / "console.sock"

    @property
    def console_log(self) -> Path:
        """What the guest said on it."""
        return self.folder / "console.log"

    @property
    def qmp(self) -> Path:
        """QEMU's own control socket."""
        return self.folder / "qmp.sock"


@dataclass(slots=True)
class QemuMachine:
    """A QEMU process under software emulation. A fresh one is stopped."""

    settings: QemuSettings
    uuid: str
    """The SMBIOS UUID that the guest sees."""
    process_since: datetime | None = None
    resets: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def power(self) -> Power:
        """Stopped, or QEMU's run state; running where QEMU does not say."""
        if not self._is_running():
            return Power.STOPPED
        try:
            status = self._ask("query-status")["status"]
        except MachineError:
            return Power.RUNNING
        return Power(status) if status in set(Power) else Power.PAUSED

    @property
    def qmp_answers(self) -> bool:
        """Whether QEMU's main loop turns."""
        try:
            self._ask("query-status")
        except MachineError:
            return False
        return True

    def reset(self, now: datetime) -> None:  # noqa: ARG002 - the protocol's
        """QMP system_reset."""
        self._ask("system_reset")
        self.resets += 1

    def resume(self, now: datetime) -> None:  # noqa: ARG002 - the protocol's
        """QMP cont."""
        self._ask("cont")

    def start(self, now: datetime) -> None:
        """Start the process; it dies with this one."""
        for left in (self.settings.qmp, self.settings.console):
            left.unlink(missing_ok=True)
        said = (self.settings.folder / "qemu.log").open("ab")
        with said:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        self.process_since = now

    def stop(self, now: datetime) -> None:  # noqa: ARG002 - the protocol's
        """End the process, by force where it must be."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = self.process_since = None

    def counters(self, now: datetime) -> Counters:  # noqa: ARG002 - the protocol's
        """Disk traffic as QEMU counts it, and the sizes of what was captured of the network."""
        if not self._is_running():
            return Counters()
        blocks: list[Mapping[str, Any]] = []
        with suppress(MachineError):
            blocks = self._ask("query-blockstats")
        return Counters(
            disk_read=sum(one["stats"]["rd_bytes"] for one in blocks),
            disk_write=sum(one["stats"]["wr_bytes"] for one in blocks),
            net_in=_captured(self.settings.folder / "in.pcap"),
            net_out=_captured(self.settings.folder / "out.pcap"),
        )

    def guest_agent_answers(self, now: datetime) -> bool:  # noqa: ARG002 - the protocol's
        """No QEMU guest agent is in it."""
        return False

    def reports(self, now: datetime) -> bool:  # noqa: ARG002 - the protocol's
        """Nobody reports on its behalf: its own agent does."""
        return False

    def command(self) -> list[str]:
        """The command line."""
        its = self.settings
        log = f"logfile={its.console_log},logappend=on"
        to_api = f"cmd:{_program('busybox')} nc 127.0.0.1 {its.api_port}"
        return [
            *_dies_with_its_parent(),
            _program("qemu-system-x86_64"),
            *("-machine", "pc,accel=tcg", "-cpu", "qemu64,+rdrand", "-m", str(its.memory_mib)),
            *("-nodefaults", "-no-user-config", "-display", "none", "-uuid", self.uuid),
            *("-kernel", str(its.kernel), "-initrd", str(its.initrd), "-append", its.append),
            *("-netdev", f"user,id=net,restrict=on,guestfwd=tcp:{API_ADDRESS}:3000-{to_api}"),
            *("-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci"),
            # A netdev's receive queue takes what the guest sends.
            *("-object", f"filter-dump,id=sent,netdev=net,queue=rx,file={its.folder}/out.pcap"),
            *("-object", f"filter-dump,id=got,netdev=net,queue=tx,file={its.folder}/in.pcap"),
            *("-chardev", f"socket,id=tty,path={its.console},server=on,wait=off,{log}"),
            *("-serial", "chardev:tty"),
            *("-qmp", f"unix:{its.qmp},server=on,wait=off"),
            *(() if its.disk is None else ("-drive", f"file={its.disk},format=raw,if=virtio")),
        ]

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _ask(self, command: str) -> Any:  # noqa: ANN401 - QMP's JSON
        """Ask QMP one question. Raises MachineError in the words Proxmox would have."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(QMP_SECONDS)
                connection.connect(str(self.settings.qmp))
                with connection.makefile("rwb") as wire:
                    wire.readline()  # the greeting
                    _say(wire, "qmp_capabilities")
                    return _say(wire, command)
        except (OSError, ValueError) as error:
            raise MachineError(f"qmp command '{command}' failed - got timeout") from error


def _say(wire: Any, command: str) -> Any:  # noqa: ANN401 - a socket's file, and QMP's JSON
    wire.write(json.dumps({"execute": command}).encode() + b"\n")
    wire.flush()
    while line := wire.readline():
        answer = json.loads(line)
        if "error" in answer:
            raise MachineError(f"qmp command '{command}' failed - {answer['error']['desc']}")
        if "return" in answer:
            return answer["return"]
    raise ValueError("QEMU closed the connection")


def _captured(file: Path) -> int:
    try:
        return max(0, file.stat().st_size - PCAP_HEAD)
    except FileNotFoundError:
        return 0


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise MachineError(f"{name} is not on this machine")
    return found


def _dies_with_its_parent() -> list[str]:
    setpriv = shutil.which("setpriv")
    return [] if setpriv is None else [setpriv, "--pdeathsig", "KILL"]
