"""Each figure from prepared counters: exact where they make sense, left out where they do not."""

import json
from pathlib import Path
from typing import Any

import pytest

from agents.linux_agent import Agent

MEMINFO = "MemTotal:  4194304 kB\nMemFree:  100000 kB\nMemAvailable:  2097152 kB\n"
STAT = "cpu  1000 0 500 8000 500 0 0 0 0 0\ncpu0 1 2 3 4 5\n"
LATER = "cpu  1400 0 552 8500 548 0 0 0 0 0\n"
DF = "Filesystem 1024-blocks Used Available Capacity\n/dev/sda1 102400000 51200000 1 50% /\n"


class Machine:
    """A /proc of our own making."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        random = self.proc / "sys" / "kernel" / "random"
        random.mkdir(parents=True)
        (random / "boot_id").write_text("5b0c1a58-0000-4000-8000-000000000001\n")
        (random / "uuid").write_text("00000000-0000-4000-8000-00000000000a\n")
        (self.proc / "sys/kernel/hostname").write_text("web-server-01\n")
        (self.proc / "stat").write_text(LATER)
        (self.proc / "meminfo").write_text(MEMINFO)
        (self.proc / "uptime").write_text("3600.55 7000.10\n")
        (self.proc / "df").write_text(DF)

    def put(self, name: str, text: str | None) -> None:
        """Change a file; None takes it away."""
        (self.proc / name).unlink()
        if text is not None:
            (self.proc / name).write_text(text)

    def report(self, agent: Agent, *, times: int = 1) -> tuple[dict[str, Any], list[str]]:
        """Take the sample before, build the report, and read it with what was said."""
        done = agent.sourced(f"""
            proc={self.proc} vmid=100
            read_clock() {{ now=1672531200; }}
            run_df() {{ cat {self.proc}/df; }}
            new_ticks=10000 new_idle=8500
            keep_sample
            for _ in {" x" * times}; do build_payload running; done
            printf '%s' "$payload"
        """)
        assert done.code == 0, done.err
        return json.loads(done.out), done.err.splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_seeds_example_comes_out_of_plain_counters(agent: Agent, machine: Machine) -> None:
    report, said = machine.report(agent)
    assert report == {
        "hostname": "web-server-01",
        "vmid": "100",
        "status": "running",
        "cpuUsage": 45.2,
        "ramUsage": 2048,
        "ramTotal": 4096,
        "diskUsage": 50000,
        "diskTotal": 100000,
        "uptime": 3600,
        "timestamp": 1672531200,
        "bootId": "5b0c1a58-0000-4000-8000-000000000001",
        "agentVersion": "0.1.0",
    }
    assert said == []


@pytest.mark.parametrize(
    ("stat", "expected"),
    [
        ("cpu  1000 0 500 9000 500 0 0 0 0 0\n", 0.0),
        ("cpu  2000 0 500 8000 500 0 0 0 0 0\n", 100.0),
        ("cpu  1000 0 500 8000 500 0 0 1000 0 0\n", 100.0),
        ("cpu  1000 0 500 9500 400 0 0 0 0 0\n", 0.0),
        ("cpu  2000 0 500 8000 400 0 0 0 0 0\n", 100.0),
        ("cpu  1500 0 500 8500 500 0 0 0 500 0\n", 50.0),
        ("cpu  1001 0 500 8999 500\n", 0.1),
    ],
    ids=["idle", "busy", "stolen", "iowait steps back", "idle steps back", "guest", "old kernel"],
)
def test_cpu_is_the_share_not_idle_between_two_samples(
    agent: Agent, machine: Machine, stat: str, expected: float
) -> None:
    machine.put("stat", stat)
    report, said = machine.report(agent)
    assert report["cpuUsage"] == expected
    assert said == []


@pytest.mark.parametrize(
    "stat",
    [None, "", "cpu a b c d e f g h\n", "intr 1 2 3 4 5 6 7 8\n", "cpu  1 0 1 1 0 0 0 0\n", STAT],
    ids=["missing", "empty", "words", "not cpu", "stepped back", "stands still"],
)
def test_cpu_is_left_out_when_its_counters_make_no_sense_and_that_is_said_once(
    agent: Agent, machine: Machine, stat: str | None
) -> None:
    machine.put("stat", stat)
    report, said = machine.report(agent, times=3)
    assert "cpuUsage" not in report
    assert report["ramTotal"] == 4096
    assert len(said) == 1
    assert "cpuUsage is left out" in said[0]


@pytest.mark.parametrize(
    "meminfo",
    [
        None,
        "",
        "MemTotal: 4194304 kB\nMemFree: 100 kB\n",
        "MemTotal: 100000 kB\nMemAvailable: 200000 kB\n",
        "MemTotal: 0 kB\nMemAvailable: 0 kB\n",
        "MemTotal: many kB\nMemAvailable: 1 kB\n",
    ],
    ids=["missing", "empty", "no MemAvailable", "more than all", "none at all", "words"],
)
def test_ram_is_left_out_when_it_makes_no_sense_and_that_is_said_once(
    agent: Agent, machine: Machine, meminfo: str | None
) -> None:
    machine.put("meminfo", meminfo)
    report, said = machine.report(agent, times=3)
    assert not {"ramUsage", "ramTotal"} & report.keys()
    assert report["cpuUsage"] == 45.2
    assert len(said) == 1
    assert "ramUsage and ramTotal are left out" in said[0]


@pytest.mark.parametrize(
    "df",
    ["", "Filesystem\n", "header\n/dev/sda1 1 2 3 4% /\n", "header\nnone - - - - /\n"],
    ids=["nothing", "header only", "used exceeds total", "dashes"],
)
def test_disk_is_left_out_when_df_makes_no_sense_and_that_is_said_once(
    agent: Agent, machine: Machine, df: str
) -> None:
    machine.put("df", df)
    report, said = machine.report(agent, times=3)
    assert not {"diskUsage", "diskTotal"} & report.keys()
    assert len(said) == 1
    assert "diskUsage and diskTotal are left out" in said[0]


def test_a_file_system_name_with_spaces_does_not_shift_the_figures(
    agent: Agent, machine: Machine
) -> None:
    machine.put("df", "header\nmy disk of old 102400000 51200000 1 50% /\n")
    report, _ = machine.report(agent)
    assert (report["diskUsage"], report["diskTotal"]) == (50000, 100000)


def test_uptime_and_boot_id_are_left_out_in_silence(agent: Agent, machine: Machine) -> None:
    machine.put("uptime", "soon\n")
    machine.put("sys/kernel/random/boot_id", None)
    report, said = machine.report(agent)
    assert not {"uptime", "bootId"} & report.keys()
    assert said == []


@pytest.mark.parametrize(
    "uuid",
    [
        "",
        "Not Settable",
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "4c4c4544-0042-4b10-8057",
    ],
)
def test_a_firmware_without_a_uuid_names_no_vm(agent: Agent, tmp_path: Path, uuid: str) -> None:
    file = tmp_path / "uuid"
    file.write_text(f"{uuid}\n")
    done = agent.sourced(f'smbios_file={file}; read_smbios || echo "none:$smbios"')
    assert done.out == "none:\n"


def test_a_second_report_within_one_tick_keeps_the_cpu_figure(agent: Agent) -> None:
    done = agent.sourced("""
        now=1000 cpu=''
        new_ticks=10000 new_idle=8500; keep_sample
        read_ticks() { new_ticks=11000 new_idle=9000; }
        measure_cpu; keep_sample; echo "$cpu"
        measure_cpu; echo "$cpu"
        now=1002; measure_cpu; echo "<$cpu>"
    """)
    assert done.out.split() == ["50.0", "50.0", "<>"]
    assert "cpuUsage is left out" in done.err


def test_the_list_of_mounts_is_read_for_every_tenth_report(agent: Agent, machine: Machine) -> None:
    mounts = "/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /data ext4 rw 0 0\n"
    (machine.proc / "mounts").write_text(mounts)
    done = agent.sourced(f"""
        proc={machine.proc} vmid=100
        run_df() {{ echo "$*" >>{machine.proc}/asked; cat {machine.proc}/df; }}
        measure_disk
        echo '/dev/sdc1 /more xfs rw 0 0' >>{machine.proc}/mounts
        for _ in {" x" * 10}; do measure_disk; done
    """)
    assert done.code == 0, done.err
    asked = (machine.proc / "asked").read_text().splitlines()
    assert asked == ["/ /data"] * 10 + ["/ /data /more"]


def test_a_mount_that_hangs_costs_its_own_figures_and_not_the_roots(
    agent: Agent, machine: Machine
) -> None:
    (machine.proc / "mounts").write_text("/dev/sdb1 /hangs ext4 rw 0 0\n")
    done = agent.sourced(f"""
        proc={machine.proc} vmid=100
        run_df() {{ [ $# = 1 ] || return 137; cat {machine.proc}/df; }}
        for _ in 1 2 3; do build_payload running; done; printf '%s' "$payload"
    """)
    assert done.code == 0, done.err
    assert json.loads(done.out)["diskUsage"] == 50000
    assert len([line for line in done.err.splitlines() if "does not answer for all" in line]) == 1


def test_a_program_that_hangs_is_ended(agent: Agent) -> None:
    done = agent.sourced('{ said=$(within 1 sleep 300); } 2>/dev/null || echo "ended with $?"')
    assert (done.out, done.err) == ("ended with 137\n", "")
