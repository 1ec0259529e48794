"""A Debian with systemd in QEMU, with a root shell on its serial console."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from defib_dev import guest_image
from defib_dev.components.errors import MissingComponentError
from defib_dev.proxmox_sim.qemu_guest import API_ADDRESS, QemuMachine, QemuSettings
from support.debian_root import debian_files
from support.waiting import eventually_async

UUID = "5b0c1a58-0000-4000-8000-0000000000bb"
PACKAGES = "ca-certificates,curl,systemd-sysv,udev"
SERVER = f"http://{API_ADDRESS}:3000"
DEADLINE = 240
"""Everything in it is emulated, on a machine that does other things too."""
SHELL = """[Unit]
Description=A root shell on the serial console
[Service]
ExecStart=/bin/sh -c 'stty -echo; echo "shell of $(cat /proc/sys/kernel/random/boot_id)"; exec sh'
StandardInput=tty-force
StandardOutput=tty
StandardError=tty
Environment=SYSTEMD_COLORS=0
TTYPath=/dev/ttyS0
Restart=always
KillSignal=SIGHUP
[Install]
WantedBy=multi-user.target
"""
NETWORK = """[Match]
Driver=virtio_net
[Network]
Address=10.0.2.15/24
"""


@dataclass(slots=True)
class SystemdGuest:
    """It, from where a person could look at it."""

    machine: QemuMachine
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def boots(self) -> list[str]:
        """The boot id under which each shell began."""
        return re.findall(r"^shell of (\S+)", self._said(), re.MULTILINE)

    async def booted(self, times: int) -> str:
        """Wait for the shell of so many boots, and name the boot."""

        async def there() -> bool:
            return len(self.boots()) >= times

        await eventually_async(there, what=f"boot {times}", deadline_seconds=DEADLINE)
        return self.boots()[times - 1]

    async def run(self, command: str, code: int = 0) -> str:
        """Run a shell command there as root; what it said. Fails on another exit code."""
        number = next(self.numbers)
        form = re.compile(rf"begin{number}\n(.*?)end{number} (\d+)\n", re.DOTALL)
        said = ""
        reader, writer = await asyncio.open_unix_connection(self.machine.settings.console)
        try:
            async with asyncio.timeout(DEADLINE):
                # The quotes keep what is typed from looking like an answer.
                line = f"echo; echo begin''{number}; {{ {command}; }} 2>&1; echo end''{number} $?"
                writer.write(f"{line}\n".encode())
                # QEMU drops what is still on its way when the connection is closed.
                while not (found := form.search(said)):
                    more = await reader.read(4096)
                    assert more, f"QEMU is gone; it said {said}"
                    said += more.decode(errors="replace").replace("\r", "")
        except TimeoutError:
            pytest.fail(f"not within {DEADLINE} s: the guest answers to {command}; it said {said}")
        finally:
            writer.close()
        assert int(found[2]) == code, f"{command}: {found[2]}\n{found[1]}"
        return found[1]

    def _said(self) -> str:
        log = self.machine.settings.console_log
        return log.read_text(errors="replace").replace("\r", "") if log.exists() else ""


@contextmanager
def systemd_guest(folder: Path, api_port: int) -> Iterator[SystemdGuest]:
    """Make its disk and boot it; all that it can reach is the API. The folder must be empty."""
    mke2fs = shutil.which("mke2fs") or "/usr/sbin/mke2fs"
    disk, first = folder / "disk", folder / "initramfs"
    with debian_files(PACKAGES) as root:
        (root / "etc/systemd/system/console.service").write_text(SHELL)
        (root / "etc/systemd/network/guest.network").write_text(NETWORK)
        (root / "etc/hostname").write_text("systemd-guest\n")
        for said in ("enable console systemd-networkd", "mask serial-getty@ttyS0"):
            told = ["chroot", str(root), "systemctl", *said.split()]
            subprocess.run(told, check=True, capture_output=True)
        subprocess.run(
            [mke2fs, "-q", "-q", "-t", "ext4", "-d", str(root), str(disk), "1G"], check=True
        )
    try:
        kernel = guest_image.find_kernel()
        guest_image.build_for_disk(first, kernel)
    except MissingComponentError as error:
        pytest.fail(str(error))
    settings = QemuSettings(
        kernel=kernel.image,
        initrd=first,
        folder=folder,
        api_port=api_port,
        disk=disk,
        memory_mib=512,
    )
    machine = QemuMachine(settings, UUID)
    machine.start(datetime.now(UTC))
    try:
        yield SystemdGuest(machine)
    finally:
        machine.stop(datetime.now(UTC))
