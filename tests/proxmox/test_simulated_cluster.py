"""The model on a virtual clock: guests that boot, hang and die; workers; nodes; HA. Pure."""

from datetime import UTC, datetime, timedelta

import pytest

from defib_core.domain.actions import PowerStep
from defib_dev.proxmox_sim.changes import change_guest, create_guest
from defib_dev.proxmox_sim.faults import PostFault
from defib_dev.proxmox_sim.guest import Guest
from defib_dev.proxmox_sim.machine import ARP_NET_OUT, Power
from defib_dev.proxmox_sim.model import Datacenter, ModelError
from defib_dev.proxmox_sim.power import Job, fork
from defib_dev.proxmox_sim.tasks import Task

START = datetime(2026, 1, 1, tzinfo=UTC)
SIGN_OF_LIFE = 64 * 1024
USER = "defib@pve!operator"


class Story:
    """A cluster, one guest, and a clock that the story moves."""

    def __init__(self, **guest: object) -> None:
        self.dc = Datacenter(("pve1", "pve2"))
        self.now = START
        body = {"vmid": 100, "name": "web-0", "bootSeconds": 60, **guest}
        self.guest: Guest = create_guest(self.dc, body, START)

    def after(self, seconds: float) -> "Story":
        self.now += timedelta(seconds=seconds)
        self.dc.advance(self.now)
        return self

    def change(self, **changes: object) -> None:
        change_guest(self.dc, 100, changes, self.now)

    def do(self, step: PowerStep, fault: PostFault | None = None, node: str = "pve1") -> Task:
        return fork(self.dc, Job(step, node, 100, USER, fault))

    def done(self, step: PowerStep) -> str | None:
        task = self.do(step)
        self.after(2)
        return task.exitstatus

    def reports(self) -> bool:
        return self.dc.reports(self.guest, self.now)

    def power(self) -> Power:
        return self.guest.machine.power

    def sent_and_written(self, seconds: float) -> int:
        before = self.guest.machine.counters(self.now)
        after = self.after(seconds).guest.machine.counters(self.now)
        return (after.disk_write - before.disk_write) + (after.net_out - before.net_out)


def test_a_new_guest_reports_at_once() -> None:
    assert Story().reports()


def test_a_frozen_guest_is_reset_and_reports_after_its_boot_with_a_new_boot_id() -> None:
    story = Story()
    boot_id = story.guest.simulated.boot_id
    story.change(frozen=True)
    assert not story.reports()
    assert story.done(PowerStep.RESET) == "OK"
    assert story.guest.simulated.boot_id != boot_id
    assert not story.reports()
    assert not story.after(58).reports()
    assert story.after(1).reports()
    assert story.guest.machine.resets == 1


def test_a_reset_takes_effect_when_its_task_ends_not_before() -> None:
    story = Story()
    task = story.do(PowerStep.RESET)
    assert story.after(0.9).guest.machine.resets == 0
    assert task.is_running
    assert story.after(0.2).guest.machine.resets == 1
    assert task.ended == START + timedelta(seconds=1)


def test_a_guest_that_never_boots_stays_silent_after_each_reset() -> None:
    story = Story(bootSeconds=None)
    assert story.reports()
    story.change(frozen=True)
    for _ in range(3):
        assert story.done(PowerStep.RESET) == "OK"
        assert not story.after(3600).reports()
        assert story.sent_and_written(30) < SIGN_OF_LIFE


def test_a_guest_may_die_again_after_each_boot_but_lives_until_the_first() -> None:
    story = Story(diesAfterSeconds=90)
    assert story.after(3600).reports()
    for _ in range(2):
        assert story.done(PowerStep.RESET) == "OK"
        assert story.after(60).reports()
        assert story.after(60).reports()
        assert not story.after(60).reports()


def test_only_our_agent_dead_leaves_io_and_guest_agent_alive() -> None:
    story = Story()
    story.change(agentDead=True)
    assert not story.reports()
    assert story.guest.machine.guest_agent_answers(story.now)
    assert story.sent_and_written(30) >= SIGN_OF_LIFE


def test_a_frozen_guest_answers_arp_and_no_more() -> None:
    story = Story()
    assert story.sent_and_written(30) >= SIGN_OF_LIFE
    story.change(frozen=True)
    assert not story.guest.machine.guest_agent_answers(story.now)
    assert 0 < story.sent_and_written(30) == 30 * ARP_NET_OUT < SIGN_OF_LIFE


def test_counters_survive_a_reset_and_begin_again_with_the_process() -> None:
    story = Story().after(600)
    before = story.guest.machine.counters(story.now).disk_write
    assert before > 0
    story.done(PowerStep.RESET)
    assert story.guest.machine.counters(story.now).disk_write >= before
    since = story.guest.machine.process_since
    assert since == START
    story.done(PowerStep.STOP)
    story.done(PowerStep.START)
    assert story.guest.machine.counters(story.now).disk_write < before
    assert story.guest.machine.process_since != since


@pytest.mark.parametrize("power", ["paused", "io-error", "internal-error", "guest-panicked"])
def test_a_reset_of_processors_that_stand_still_leads_to_prelaunch_and_needs_a_resume(
    power: str,
) -> None:
    story = Story(power=power)
    assert not story.reports()
    assert story.done(PowerStep.RESET) == "OK"
    assert story.power() is Power.PRELAUNCH
    assert not story.after(3600).reports()
    assert story.done(PowerStep.RESUME) == "OK"
    assert story.power() is Power.RUNNING
    assert story.after(60).reports()


def test_an_internal_error_refuses_to_resume_before_a_reset() -> None:
    story = Story(power="internal-error")
    text = "VM 100 qmp command 'cont' failed - Resetting the Virtual Machine is required"
    assert story.done(PowerStep.RESUME) == text


def test_an_io_error_goes_on_after_a_resume_without_a_boot() -> None:
    story = Story()
    boot_id = story.guest.simulated.boot_id
    story.change(power="io-error")
    assert not story.reports()
    assert story.done(PowerStep.RESUME) == "OK"
    assert story.reports()
    assert story.guest.simulated.boot_id == boot_id


def test_full_storage_runs_into_the_io_error_again() -> None:
    story = Story(power="io-error")
    story.change(storageFull=True)
    assert story.done(PowerStep.RESUME) == "OK"
    assert story.power() is Power.IO_ERROR


@pytest.mark.parametrize("changes", [{"reboot": 0}, {"confidential": "intel-tdx"}])
def test_a_reset_that_may_not_reboot_switches_off(changes: dict[str, object]) -> None:
    story = Story()
    story.change(**changes)
    assert story.done(PowerStep.RESET) == "OK"
    assert story.power() is Power.STOPPED


def test_a_hung_qemu_fails_the_reset_and_is_killed_by_a_stop() -> None:
    story = Story()
    story.change(qmpHung=True, frozen=True)
    assert story.done(PowerStep.RESET) == "VM 100 qmp command 'system_reset' failed - got timeout"
    assert story.done(PowerStep.STOP) == "OK"
    assert story.done(PowerStep.START) == "OK"
    assert story.after(60).reports()


@pytest.mark.parametrize("step", list(PowerStep))
def test_a_lock_fails_every_task(step: PowerStep) -> None:
    story = Story()
    story.change(lock="snapshot")
    assert story.done(step) == "VM is locked (snapshot)"


def test_a_backup_lock_lets_a_resume_pass_and_starts_its_own_qemu() -> None:
    story = Story(power="paused")
    story.change(lock="backup")
    assert story.done(PowerStep.RESUME) == "OK"
    story = Story(power="prelaunch")
    story.change(lock="backup")
    assert story.done(PowerStep.START) == "OK"
    assert story.power() is Power.RUNNING


def test_a_stop_of_a_stopped_vm_is_ok_and_a_start_of_a_running_one_is_not() -> None:
    story = Story()
    assert story.done(PowerStep.START) == "VM 100 already running"
    assert story.done(PowerStep.STOP) == "OK"
    assert story.done(PowerStep.STOP) == "OK"


def test_a_template_cannot_be_started() -> None:
    story = Story(template=True)
    assert story.power() is Power.STOPPED
    assert story.done(PowerStep.START) == "you can't start a vm if it's a template"


def test_two_tasks_of_one_vm_take_turns_and_a_long_holder_is_waited_for_ten_seconds() -> None:
    story = Story()
    first, second = story.do(PowerStep.RESET), story.do(PowerStep.RESET)
    story.after(5)
    assert (first.ended, second.ended) == (
        START + timedelta(seconds=1),
        START + timedelta(seconds=2),
    )
    story.change(flockSeconds=3600)
    task = story.do(PowerStep.RESET)
    assert story.after(9).dc.tasks.find("pve1", task.upid) is task
    assert task.is_running
    story.after(2)
    path = "/var/lock/qemu-server/lock-100.conf"
    assert task.exitstatus == f"can't lock file '{path}' - got timeout"


def test_a_task_on_the_wrong_node_finds_no_configuration() -> None:
    story = Story()
    task = story.do(PowerStep.STOP, node="pve2")
    story.after(2)
    text = "Configuration file 'nodes/pve2/qemu-server/100.conf' does not exist"
    assert task.exitstatus == text
    assert story.reports()


def test_ha_stops_and_starts_later_and_a_task_says_ok_at_once() -> None:
    story = Story()
    story.change(ha="started")
    task = story.do(PowerStep.STOP)
    assert task.task_type == "hastop"
    assert story.after(2).power() is Power.RUNNING
    assert task.exitstatus == "OK"
    assert story.after(10).power() is Power.STOPPED
    assert story.guest.ha == "stopped"
    story.do(PowerStep.START)
    assert story.after(12).power() is Power.RUNNING
    assert story.guest.ha == "started"


def test_ha_resets_go_straight_to_qemu() -> None:
    story = Story()
    story.change(ha="started")
    assert story.do(PowerStep.RESET).task_type == "qmreset"
    assert story.after(2).guest.machine.resets == 1


def test_ha_starts_what_a_reset_has_ended_but_not_in_its_error_state() -> None:
    for state, expected in (("started", Power.RUNNING), ("error", Power.STOPPED)):
        story = Story()
        story.change(ha=state, reboot=0)
        assert story.done(PowerStep.RESET) == "OK"
        assert story.power() is Power.STOPPED
        assert story.after(60).power() is expected


def test_a_node_takes_its_guests_and_tasks_with_it_and_brings_the_guests_back() -> None:
    story = Story()
    task = story.do(PowerStep.RESET)
    story.dc.set_online("pve1", online=False, now=story.now)
    assert not story.reports()
    assert story.after(5).guest.machine.resets == 0
    assert task.exitstatus == "unexpected status"
    story.dc.set_online("pve1", online=True, now=story.now)
    assert not story.after(59).reports()
    assert story.after(1).reports()


def test_a_stopped_guest_stays_off_when_its_node_comes_back() -> None:
    story = Story(power="stopped")
    story.dc.set_online("pve1", online=False, now=story.now)
    story.dc.set_online("pve1", online=True, now=story.now)
    assert story.power() is Power.STOPPED


def test_an_id_that_is_reused_is_another_vm_without_our_agent() -> None:
    story = Story()
    uuid = story.guest.uuid
    story.change(reusedBy="other")
    assert story.guest.name == "other"
    assert story.guest.uuid != uuid
    assert not story.reports()
    assert story.guest.machine.guest_agent_answers(story.now)


def test_a_renamed_vm_is_the_same_vm() -> None:
    story = Story()
    uuid = story.guest.uuid
    story.change(rename="other")
    assert (story.guest.name, story.guest.uuid) == ("other", uuid)
    assert story.reports()


def test_a_destroyed_vm_may_be_brought_back() -> None:
    story = Story()
    story.change(exists=False)
    assert 100 not in story.dc.guests
    story.change(exists=True)
    assert story.reports()


def test_stopping_and_running_from_outside_boots() -> None:
    story = Story()
    story.change(power="stopped")
    assert not story.reports()
    story.change(power="running")
    assert not story.after(59).reports()
    assert story.after(1).reports()


def test_pausing_from_outside_is_undone_without_a_boot() -> None:
    story = Story()
    story.change(power="paused")
    assert not story.reports()
    story.change(power="running")
    assert story.reports()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"colour": "red"}, "unknown: colour; allowed: agent, agentDead"),
        ({"lock": "mine"}, "lock: must be one of backup"),
        ({"power": "off"}, "power: must be one of stopped, running"),
        ({"node": "pve9"}, "there is no node 'pve9'"),
        ({"bootSeconds": -1}, "bootSeconds: must be a number of seconds"),
        ({"frozen": "yes"}, "frozen: must be true or false"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused_whole(
    changes: dict[str, object], text: str
) -> None:
    story = Story()
    with pytest.raises(ModelError) as raised:
        story.change(rename="changed", **changes)
    assert text in str(raised.value)
    assert story.guest.name == "web-0"


def test_nothing_can_move_to_or_run_on_a_node_that_is_away() -> None:
    story = Story()
    story.dc.set_online("pve2", online=False, now=story.now)
    for changes in ({"node": "pve2"}, {"node": "pve2", "power": "stopped"}):
        with pytest.raises(ModelError, match="pve2 is offline"):
            story.change(rename="changed", **changes)
    story.dc.set_online("pve1", online=False, now=story.now)
    with pytest.raises(ModelError, match="pve1 is offline"):
        story.change(rename="changed", power="running")
    assert story.guest.name == "web-0"


def test_thousands_of_guests_cost_nothing_while_time_goes_by() -> None:
    dc = Datacenter(("pve1",))
    for vmid in range(100, 3100):
        create_guest(dc, {"vmid": vmid, "name": f"vm-{vmid}"}, START)
    later = START + timedelta(days=1)
    dc.advance(later)
    assert all(dc.reports(guest, later) for guest in dc.guests.values())
    assert dc._agenda == []
