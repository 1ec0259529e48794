"""Makes what a guest for QEMU boots from: an initramfs with busybox and a few modules.

Either it is the whole guest, with curl and the real agent in it, or it goes on to a disk with a
system of its own. Everything comes from this machine: Debian's kernel for clouds and its modules,
and the programs with their libraries. Nothing is run while it is made, and no root is needed.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from defib_dev.components.errors import MissingComponentError

FILE, FOLDER = 0o100000, 0o040000
MODULES = ("virtio_pci", "virtio_net", "virtio_rng")
DISK_MODULES = ("virtio_blk", "crc32c_generic", "ext4")
APT = "apt-get install -y --no-install-recommends"
BEGIN = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
"""
AGENT_ONLY = """
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
echo "guest: booted as $(cat /proc/sys/kernel/random/boot_id)"
# Whoever holds the console may have the kernel crash.
(while read -r said; do [ "$said" != crash ] || echo c >/proc/sysrq-trigger; done) </dev/ttyS0 &
sh /opt/healthcheck/linux-agent.sh
echo "guest: the agent ended with $?"
sleep 2147483647
"""
ON_TO_THE_DISK = """
mount -t ext4 /dev/vda /root
mount -t devtmpfs dev /root/dev
umount /sys /proc
exec switch_root /root /sbin/init
"""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel and the folder of its modules."""

    image: Path
    modules: Path


def find_kernel() -> Kernel:
    """Debian's kernel for clouds; raises MissingComponentError."""
    for image in sorted(Path("/boot").glob("vmlinuz-*"), reverse=True):
        modules = Path("/lib/modules") / image.name.removeprefix("vmlinuz-")
        if (modules / "modules.dep").exists() and os.access(image, os.R_OK):
            return Kernel(image, modules)
    raise MissingComponentError(
        "a kernel for QEMU guests, with its modules",
        looked_in=("/boot", "/lib/modules"),
        remedy=f"{APT} linux-image-cloud-amd64",
    )


def build(target: Path, kernel: Kernel, agent: Path, settings: str, key: str) -> None:
    """Write the initramfs: the agent with its settings and its key, started at boot."""
    files = {
        "/opt/healthcheck/linux-agent.sh": (0o755, agent.read_bytes()),
        "/etc/defib/agent.conf": (0o644, settings.encode()),
        "/etc/defib/agent.key": (0o600, f"{key}\n".encode()),
    }
    _write(target, AGENT_ONLY, ("busybox", "curl"), _modules(kernel, MODULES), files)


def build_for_disk(target: Path, kernel: Kernel) -> None:
    """Write an initramfs that goes on to /sbin/init on the ext4 of its first virtio disk."""
    _write(target, ON_TO_THE_DISK, ("busybox",), _modules(kernel, MODULES + DISK_MODULES), {})


def _write(
    target: Path,
    init: str,
    programs: Iterable[str],
    modules: Iterable[Path],
    others: Mapping[str, tuple[int, bytes]],
) -> None:
    files = {**others, "/init": (0o755, (BEGIN + init).encode())}
    for program in programs:
        found = _program(program)
        files[f"/bin/{program}"] = (0o755, found.read_bytes())
        files |= {library: (0o755, Path(library).read_bytes()) for library in _libraries(found)}
    modules = list(modules)
    files |= {f"/modules/{one.name}": (0o644, one.read_bytes()) for one in modules}
    order = "".join(f"{one.name}\n" for one in modules)
    files["/modules/order"] = (0o644, order.encode())
    target.write_bytes(b"".join(_archive(files)))


def _program(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise MissingComponentError(name, looked_in=("the PATH",), remedy=f"{APT} {name}")
    return Path(found).resolve()


def _libraries(program: Path) -> list[str]:
    """The shared libraries of a program, its loader among them; none of a static one."""
    told = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    return sorted(set(re.findall(r"(/\S+) \(0x", told.stdout)))


def _modules(kernel: Kernel, names: Iterable[str]) -> Iterator[Path]:
    """These modules, and those they need, in the order in which they can be loaded.

    One that is built in is none.
    """
    needs: dict[str, tuple[str, list[str]]] = {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[_module_name(path)] = (path, others.split())
    done: set[str] = set()

    def load(name: str) -> Iterator[Path]:
        if name in done or name not in needs:
            return
        done.add(name)
        path, others = needs[name]
        for other in reversed(others):
            yield from load(_module_name(other))
        yield kernel.modules / path

    for name in names:
        yield from load(name)


def _module_name(path: str) -> str:
    return Path(path).name.partition(".")[0].replace("-", "_")


def _archive(files: dict[str, tuple[int, bytes]]) -> Iterator[bytes]:
    """A cpio archive as the kernel unpacks it, everything owned by root."""
    number = 0
    for folder in _folders((*files, "/proc/-", "/sys/-", "/dev/-", "/tmp/-", "/root/-")):  # noqa: S108 - the guest's
        number += 1
        yield _entry(number, folder, FOLDER | 0o755, b"")
    for path, (mode, data) in sorted(files.items()):
        number += 1
        yield _entry(number, path, FILE | mode, data)
    yield _entry(0, "TRAILER!!!", 0, b"")


def _folders(paths: Iterable[str]) -> list[str]:
    return sorted({str(folder) for path in paths for folder in Path(path).parents} - {"/"})


def _entry(number: int, path: str, mode: int, data: bytes) -> bytes:
    name = path.lstrip("/").encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % value for value in fields) + name
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
