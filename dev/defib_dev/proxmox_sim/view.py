"""The cluster as the control interface shows it. Pure, and cheap: it is polled."""

from datetime import UTC, datetime

from defib_dev.proxmox_sim.guest import Guest
from defib_dev.proxmox_sim.machine import SimulatedMachine
from defib_dev.proxmox_sim.model import Datacenter

View = dict[str, object]


def state_view(dc: Datacenter, now: datetime) -> dict[str, object]:
    """Show everything."""
    dc.advance(now)
    return {
        "nodes": [{"name": node.name, "online": node.online} for node in dc.nodes.values()],
        "guests": [guest_view(dc, guest, now) for guest in dc.guests.values()],
        "posts": [
            {
                "time": _time(post.time),
                "vmid": post.vmid,
                "action": post.action,
                "node": post.node,
                "upid": post.upid,
                "fault": post.fault,
                "refused": post.refused,
            }
            for post in dc.posts
        ],
        "api": {
            "mode": dc.mode,
            "latencyMs": dc.timing.latency.total_seconds() * 1000,
            "taskSeconds": dc.timing.task.total_seconds(),
            "broadcastLagSeconds": dc.timing.broadcast_lag.total_seconds(),
            "haDelaySeconds": dc.timing.ha_delay.total_seconds(),
        },
    }


def guest_view(dc: Datacenter, guest: Guest, now: datetime) -> View:
    """Show one guest. A real machine has no boot times to tell."""
    shown: View = {
        "vmid": guest.vmid,
        "name": guest.name,
        "node": guest.node,
        "uuid": guest.uuid,
        "power": guest.machine.power,
        "qmpstatus": guest.qmpstatus,
        "lock": guest.lock,
        "template": guest.template,
        "reporting": dc.reports(guest, now),
        "resets": guest.machine.resets,
    }
    machine = guest.machine
    if isinstance(machine, SimulatedMachine):
        booted = machine.booted_at if machine.booted_at and machine.booted_at <= now else None
        shown |= {
            "frozen": machine.frozen,
            "agentDead": machine.agent_dead,
            "bootId": machine.boot_id,
            "bootedAt": _time(booted),
            "bootSeconds": None if machine.boots is None else machine.boots.total_seconds(),
        }
    return shown


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
