"""Fleets of any size, put straight into a database: managed, healthy, heard of just now.

Only the bench may write like this, into databases of its own. As superuser, for without foreign
key checks a million VMs take seconds.
"""

from datetime import timedelta

import psycopg

AGENT_VERSION = "1.0.0"
NODES = 40
LOWEST_VMID = 100


def hostname_of(number: int) -> str:
    """The VM's host name; FILL_VM says the same in SQL."""
    return f"vm-{number}"


def vmid_of(number: int) -> str:
    """The VM's number in Proxmox."""
    return str(LOWEST_VMID + number)


def node_of(number: int) -> str:
    """The node the VM runs on."""
    return f"pve{number % NODES}"


FILL_VM = """
INSERT INTO vm (cluster_id, vmid, hostname, node, agent_version, registered_by, config_id,
                namespace, name, uid, generation, object_created_at, managed_at)
SELECT c.id, %(lowest)s + n, 'vm-' || n, 'pve' || n %% %(nodes)s, %(agent)s, 'manifest', s.id,
    s.namespace, 'vm-' || n, 'uid-' || n, 1, now() - interval '1 day', now() - interval '1 day'
FROM generate_series(0, %(vms)s - 1) AS n, proxmox_cluster c, system_config s
WHERE c.name = 'default' AND s.name = 'default'
ORDER BY n
"""
# The figures of effect are the same for all: reading the view for each VM would take minutes.
FILL_STATE = """
INSERT INTO vm_state (vm_id, state, state_since, last_heartbeat, reports, status, cpu, ram,
                      ram_total, disk, disk_total, uptime, boot_id, config_id, stale_timeout,
                      cpu_threshold, ram_threshold, max_attempts, clock_floor, alive_since)
SELECT v.id, 'healthy', now() - interval '1 day',
    now() + %(ahead)s - (v.vmid %% 30) * interval '1 second', 2880, 'running', 20, 1024, 4096,
    20000, 100000, 86400, 'boot-' || v.vmid - %(lowest)s, v.config_id, e.stale_timeout,
    e.cpu_threshold, e.ram_threshold, e.max_attempts, now() - interval '1 day',
    now() - interval '1 day'
FROM vm v, (SELECT * FROM vm_effective LIMIT 1) AS e
ORDER BY v.id
"""


def fill(superuser_url: str, vms: int, *, ahead: timedelta = timedelta(0)) -> None:
    """Make so many VMs in a migrated database with its defaults, and let PostgreSQL know them.

    With `ahead` they were heard of so much later than now, and do not grow stale meanwhile.
    """
    bound = {
        "lowest": LOWEST_VMID,
        "nodes": NODES,
        "agent": AGENT_VERSION,
        "vms": vms,
        "ahead": ahead,
    }
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        with connection.transaction():
            connection.execute(FILL_VM, bound)
            connection.execute(FILL_STATE, bound)
        connection.execute("VACUUM ANALYZE vm, vm_state")
        connection.execute("CHECKPOINT")


FILL_NAIVE = """
INSERT INTO vm (vmid, hostname, node, status, cpu_usage, ram_usage, ram_total, last_heartbeat,
                is_down, is_warning)
SELECT %(lowest)s + n, 'vm-' || n, 'pve' || n %% %(nodes)s, 'running', 20, 1024, 4096, now(),
    false, false
FROM generate_series(0, %(vms)s - 1) AS n
ORDER BY n
"""


def fill_naive(url: str, vms: int) -> None:
    """The same VMs in the tables of the naive application."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL_NAIVE, {"lowest": LOWEST_VMID, "nodes": NODES, "vms": vms})
        connection.execute("VACUUM ANALYZE vm")
