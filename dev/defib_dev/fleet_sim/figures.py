"""Plausible CPU, RAM and disk of a simulated guest: a function of seed, guest and time. Pure.

A guest without a scripted CPU never comes near the thresholds by itself: a warning in a
demonstration has a reason.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import pi, sin
from random import Random

CALM_CPU, CALM_RAM, CALM_DISK = 70.0, 0.80, 0.85
"""Highest figures of an unscripted guest: percent, and shares."""
RAM_SIZES_MB = (1024, 2048, 4096, 8192, 16384)
DISK_SIZES_MB = (20480, 40960, 102400, 204800)
FLUTTER_SECONDS = 47.0
SCRIPTED_FLUTTER = 1.5


@dataclass(frozen=True, slots=True)
class Figures:
    """Percent and MB."""

    cpu: float
    ram: int
    ram_total: int
    disk: int
    disk_total: int


@dataclass(frozen=True, slots=True)
class Character:
    """What a guest is like, whatever the hour."""

    ram_total: int
    disk_total: int
    cpu_level: float
    cpu_swing: float
    ram_level: float
    ram_swing: float
    disk_level: float
    period: float
    """Seconds."""
    phase: float


@lru_cache(maxsize=100_000)
def character(seed: int, vmid: int) -> Character:
    """Draw a guest's character; the same for the same seed and guest."""
    draw = Random(f"{seed}/{vmid}")  # noqa: S311 - figures for show, not secrets
    return Character(
        ram_total=draw.choice(RAM_SIZES_MB),
        disk_total=draw.choice(DISK_SIZES_MB),
        cpu_level=draw.uniform(4, 45),
        cpu_swing=draw.uniform(2, 15),
        ram_level=draw.uniform(0.25, 0.65),
        ram_swing=draw.uniform(0.01, 0.10),
        disk_level=draw.uniform(0.15, 0.75),
        period=draw.uniform(300, 3600),
        phase=draw.uniform(0, 2 * pi),
    )


def figures(who: Character, now: float, scripted_cpu: float | None = None) -> Figures:
    """Give the figures at a Unix time."""
    wave = sin(2 * pi * now / who.period + who.phase)
    flutter = sin(2 * pi * now / FLUTTER_SECONDS + 3 * who.phase)
    if scripted_cpu is None:
        cpu = _within(0.3, who.cpu_level + who.cpu_swing * (wave + flutter / 2), CALM_CPU)
    else:
        cpu = _within(0.0, scripted_cpu + SCRIPTED_FLUTTER * flutter, 100.0)
    ram = _within(0.05, who.ram_level + who.ram_swing * (wave + flutter / 4), CALM_RAM)
    disk = _within(0.05, who.disk_level + 0.02 * wave, CALM_DISK)
    return Figures(
        cpu=round(cpu, 1),
        ram=round(ram * who.ram_total),
        ram_total=who.ram_total,
        disk=round(disk * who.disk_total),
        disk_total=who.disk_total,
    )


def _within(lowest: float, value: float, highest: float) -> float:
    return max(lowest, min(value, highest))
