"""The tables, as SQLAlchemy sees them. The migrations create them; a test holds the two together.

Identity of a VM is (Proxmox cluster, vmid). Sizes of RAM and disk are MiB, CPU is percent, uptime
is seconds; all times are `timestamptz`.
"""

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, JSONB, REAL, UUID

from defib_core.domain.actions import UNFINISHED, Action, Phase, PowerStep, Source
from defib_core.domain.states import State

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

Moment = DateTime(timezone=True)
NOW = text("defib_now()")


def one_of(column: str, words: type[StrEnum]) -> CheckConstraint:
    """Hold a text column to the words of an enum."""
    listed = ", ".join(f"'{word.value}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


MANAGED_SQL = "uid IS NOT NULL AND tombstoned_at IS NULL"
MEMBER_SQL = (
    f"{MANAGED_SQL} AND rejected IS NULL AND remediation_enabled"
    " AND (proxmox_state IS NULL OR proxmox_state = 'running')"
)
"""What of a VM's belonging to the groups that brakes count is written in `vm`."""
PAUSE_REASON = "CASE WHEN p.id IS NULL THEN v.paused_reason ELSE p.reason END"
PAUSE_UNTIL = "CASE WHEN p.id IS NULL THEN v.paused_until ELSE p.until END"
"""As the view vm_paused says, for `vm v LEFT JOIN pause p` on the open one: it reads `vm` again."""
UNFINISHED_SQL = "phase IN ({})".format(", ".join(f"'{phase}'" for phase in sorted(UNFINISHED)))

proxmox_cluster = Table(
    "proxmox_cluster",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("uid", Text),
    Column("generation", BigInteger),
    Column("spec", JSONB),
    Column("invalid", Text),
    Column("reachable", Boolean),
    Column("version", Text),
    Column("quorate", Boolean),
    Column("nodes", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("token_missing", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("message", Text),
    Column("checked_at", Moment),
    Column("inventory_at", Moment),
    UniqueConstraint("namespace", "name"),
    comment="Mirror of ProxmoxCluster. The one named default exists without a custom resource.",
)

system_config = Table(
    "system_config",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("uid", Text),
    Column("generation", BigInteger),
    Column("observed_generation", BigInteger),
    Column("spec", JSONB, nullable=False),
    Column("invalid", Text),
    Column("changed_at", Moment, nullable=False, server_default=NOW),
    UniqueConstraint("namespace", "name"),
    comment="Mirror of SystemConfig: the last good spec, complete, and what is wrong since.",
)

vm = Table(
    "vm",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("cluster_id", Integer, ForeignKey("proxmox_cluster.id"), nullable=False),
    Column("vmid", Integer, nullable=False),
    # The name in use: that of the spec, else what the guest says, else the object's.
    Column("hostname", Text, nullable=False),
    Column("spec_hostname", Text),
    Column("reported_hostname", Text),
    Column("node", Text),
    Column("smbios_uuid", UUID(as_uuid=False)),
    Column("pinned_uuid", UUID(as_uuid=False)),
    Column("agent_version", Text),
    Column("registered_by", Text, nullable=False),
    Column("created_at", Moment, nullable=False, server_default=NOW),
    # What the custom resource says of it; null where there is none.
    Column("namespace", Text),
    Column("name", Text),
    Column("uid", Text),
    Column("generation", BigInteger),
    Column("object_created_at", Moment),
    Column("config_id", Integer, ForeignKey("system_config.id"), nullable=False),
    Column("proxmox_name", Text),
    Column("stale_timeout_override", INTERVAL),
    Column("cpu_threshold_override", REAL),
    Column("ram_threshold_override", REAL),
    Column("remediation_enabled", Boolean, nullable=False, server_default=text("true")),
    Column("steps", ARRAY(Text), nullable=False, server_default=text("'{Reset,Reset,StopStart}'")),
    Column("max_attempts_override", Integer),
    Column("paused_reason", Text),
    Column("paused_until", Moment),
    Column("labels", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("managed_at", Moment),
    Column("tombstoned_at", Moment),
    Column("rejected", Text),
    Column("rejected_message", Text),
    # Running, stopped, template or gone, as Proxmox's list last said; whether the guest could not
    # report because of a lock, a stop or its node; and since when looks have found that it cannot.
    Column("proxmox_state", Text),
    Column("proxmox_busy", Boolean, nullable=False, server_default=text("false")),
    Column("unable_since", Moment),
    UniqueConstraint("cluster_id", "vmid"),
    CheckConstraint("vmid BETWEEN 100 AND 999999999", name="vmid_range"),
    CheckConstraint("registered_by IN ('agent', 'manifest')", name="registered_by_known"),
    CheckConstraint("num_nulls(uid, namespace, name) IN (0, 3)", name="object_named"),
    CheckConstraint("uid IS NULL OR tombstoned_at IS NULL", name="tombstoned_without_object"),
    Index("vm_object_key", "namespace", "name", unique=True),
    Index("vm_hostname_idx", "hostname"),
    # For sweeps: who is off the ordinary, and how many there are, without reading all rows.
    Index("vm_paused_until_idx", "paused_until", postgresql_where=text("paused_until IS NOT NULL")),
    Index("vm_paused_idx", "id", postgresql_where=text("paused_reason IS NOT NULL")),
    Index(
        "vm_stale_timeout_idx",
        "config_id",
        "stale_timeout_override",
        postgresql_where=text("stale_timeout_override IS NOT NULL"),
    ),
    Index("vm_config_idx", "config_id", postgresql_where=text("stale_timeout_override IS NULL")),
    Index("vm_managed_idx", "config_id", postgresql_where=text(MANAGED_SQL)),
    Index("vm_member_idx", "config_id", "cluster_id", "node", postgresql_where=text(MEMBER_SQL)),
    comment="What a VM is and how it may be treated. Changes rarely.",
)

vm_state = Table(
    "vm_state",
    metadata,
    Column("vm_id", BigInteger, ForeignKey("vm.id", ondelete="CASCADE"), primary_key=True),
    Column("state", Text, nullable=False, server_default=text("'unknown'")),
    Column("state_since", Moment, nullable=False, server_default=NOW),
    Column("last_heartbeat", Moment),
    Column("reports", BigInteger, nullable=False, server_default=text("0")),
    Column("status", Text),
    Column("cpu", REAL),
    Column("ram", Integer),
    Column("ram_total", Integer),
    Column("disk", BigInteger),
    Column("disk_total", BigInteger),
    Column("uptime", BigInteger),
    Column("boot_id", Text),
    Column("agent_time", Moment),
    # In force for this VM: its overrides, else its SystemConfig. Kept here so that neither the
    # heartbeat's nor the sweep's statement has to look at `vm`.
    Column("config_id", Integer, nullable=False),
    Column("stale_timeout", INTERVAL, nullable=False),
    Column("cpu_threshold", REAL, nullable=False),
    Column("ram_threshold", REAL, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("clock_floor", Moment, nullable=False, server_default=NOW),
    Column("alive_since", Moment),
    Column("reset_attempts", Integer, nullable=False, server_default=text("0")),
    Column("last_attempt_at", Moment),
    Column("reset_pending", Boolean, nullable=False, server_default=text("false")),
    # The relay its last report came through, null for none. No foreign key: this row is hot.
    Column("relay_id", Integer),
    Column("worst_disk", Text),
    Column("worst_disk_percent", REAL),
    # Earlier boot ids, the latest first; when one of them came back; since when two machines are
    # suspected behind this VM. See clones.py.
    Column("boot_ids_before", ARRAY(Text)),
    Column("boot_returned_at", Moment),
    Column("clone_since", Moment),
    one_of("state", State),
    CheckConstraint("stale_timeout > interval '0'", name="timeout_positive"),
    CheckConstraint("reset_attempts >= 0", name="attempts_not_negative"),
    CheckConstraint("(state = 'unknown') OR (last_heartbeat IS NOT NULL)", name="known_by_report"),
    Index("vm_state_attempts_idx", "vm_id", postgresql_where=text("reset_attempts > 0")),
    Index("vm_state_clone_idx", "vm_id", postgresql_where=text("clone_since IS NOT NULL")),
    comment="The hot row: one HOT update a heartbeat. No index but the key's, on purpose.",
    postgresql_with={
        "fillfactor": "50",
        "autovacuum_vacuum_scale_factor": "0.05",
        "autovacuum_vacuum_cost_delay": "0",
    },
)

vm_metric = Table(
    "vm_metric",
    metadata,
    Column("vm_id", BigInteger, primary_key=True),
    Column("at", Moment, primary_key=True),
    Column("cpu", REAL, nullable=False),
    Column("ram", Integer, nullable=False),
    Column("ram_total", Integer, nullable=False),
    Column("disk", BigInteger),
    Column("disk_total", BigInteger),
    Column("uptime", BigInteger),
    comment="Every report, by hour; see partitions.py. No foreign key: dropped by age.",
    postgresql_partition_by="RANGE (at)",
)


def _rollup(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("vm_id", BigInteger, primary_key=True),
        Column("at", Moment, primary_key=True),
        Column("samples", Integer, nullable=False),
        Column("cpu", REAL, nullable=False),
        Column("cpu_max", REAL, nullable=False),
        Column("ram", Integer, nullable=False),
        Column("ram_max", Integer, nullable=False),
        Column("ram_total", Integer, nullable=False),
        Column("disk", BigInteger),
        Column("disk_total", BigInteger),
        Column("uptime", BigInteger),
        postgresql_partition_by="RANGE (at)",
    )


vm_metric_5m = _rollup("vm_metric_5m")
vm_metric_1h = _rollup("vm_metric_1h")

rollup_progress = Table(
    "rollup_progress",
    metadata,
    Column("rollup", Text, primary_key=True),
    Column("done_until", Moment, nullable=False),
    comment="Moved in the transaction that writes the rows: each bucket is made exactly once.",
)

vm_transition = Table(
    "vm_transition",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("vm_id", BigInteger, ForeignKey("vm.id", ondelete="CASCADE"), nullable=False),
    Column("at", Moment, nullable=False),
    Column("from_state", Text, nullable=False),
    Column("to_state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", JSONB),
    one_of("from_state", State),
    one_of("to_state", State),
    CheckConstraint("from_state <> to_state", name="is_a_change"),
    Index("vm_transition_vm_id_idx", "vm_id", "id"),
    comment="Every change of a state, with its reason, written in the same transaction.",
)

reset_history = Table(
    "reset_history",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("vm_id", BigInteger, ForeignKey("vm.id", ondelete="CASCADE"), nullable=False),
    Column("phase", Text, nullable=False, server_default=text("'requested'")),
    Column("action", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("forced", Boolean, nullable=False, server_default=text("false")),
    Column("request_key", Text),
    Column("attempt", Integer, nullable=False),
    Column("epoch", BigInteger),
    Column("node", Text),
    Column("upid", Text),
    Column("proxmox_response", JSONB),
    Column("error", Text),
    Column("cancelled_by", Text),
    Column("decision", JSONB),
    Column("requested_at", Moment, nullable=False),
    Column("sent_at", Moment),
    Column("finished_at", Moment),
    Column("recovered_at", Moment),
    Column("boot_id_before", Text),
    one_of("phase", Phase),
    one_of("action", Action),
    one_of("source", Source),
    CheckConstraint("attempt >= 1", name="attempt_from_one"),
    CheckConstraint(f"({UNFINISHED_SQL}) = (finished_at IS NULL)", name="finished_when_final"),
    CheckConstraint("(phase = 'cancelled') = (cancelled_by IS NOT NULL)", name="cancelled_why"),
    CheckConstraint("phase NOT IN ('sent', 'succeeded') OR sent_at IS NOT NULL", name="sent_when"),
    CheckConstraint("recovered_at IS NULL OR sent_at IS NOT NULL", name="recovered_after_sent"),
    Index("reset_history_vm_id_idx", "vm_id", "id"),
    Index(
        "reset_history_one_unfinished_per_vm",
        "vm_id",
        unique=True,
        postgresql_where=text(UNFINISHED_SQL),
    ),
    Index(
        "reset_history_request_key",
        "vm_id",
        "request_key",
        unique=True,
        postgresql_where=text("request_key IS NOT NULL"),
    ),
    Index("reset_history_sent_at_idx", "sent_at", postgresql_where=text("sent_at IS NOT NULL")),
    comment="Intents and their outcomes. No intent, no POST; one unfinished intent a VM.",
)

reset_step = Table(
    "reset_step",
    metadata,
    Column(
        "intent_id",
        BigInteger,
        ForeignKey("reset_history.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("step", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("node", Text, nullable=False),
    Column("upid", Text),
    Column("sending_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Column("result", Text),
    one_of("step", PowerStep),
    one_of("phase", Phase),
    CheckConstraint("seq >= 1", name="seq_from_one"),
    CheckConstraint(f"({UNFINISHED_SQL}) = (finished_at IS NULL)", name="finished_when_final"),
    comment="Each POST of an intent, claimed before it is sent: at most one row, one POST.",
)

hold = Table(
    "hold",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("vm_id", BigInteger, ForeignKey("vm.id", ondelete="CASCADE"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("released_at", Moment),
    Column("ended_at", Moment),
    Column("alerted_at", Moment),
    CheckConstraint("ended_at IS NULL OR ended_at >= started_at", name="in_order"),
    Index("hold_one_open_per_vm", "vm_id", unique=True, postgresql_where=text("ended_at IS NULL")),
    Index("hold_vm_id_idx", "vm_id", "id"),
    comment="Why a VM that is down was not reset, as intervals.",
)

brake = Table(
    "brake",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("held", Boolean, nullable=False, server_default=text("false")),
    Column("ended_at", Moment),
    CheckConstraint("kind IN ('fleet', 'cluster', 'domain', 'node')", name="kind_known"),
    CheckConstraint("ended_at IS NULL OR ended_at >= started_at", name="in_order"),
    Index(
        "brake_one_open_per_scope",
        "kind",
        "key",
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index("brake_ended_at_idx", "ended_at"),
    comment="When something bigger than one VM held many. held: it stopped at least one reset.",
)

global_stop = Table(
    "global_stop",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("config_id", Integer, ForeignKey("system_config.id")),
    Column("reason", Text, nullable=False),
    Column("started_by", Text, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("ended_by", Text),
    Column("ended_at", Moment),
    CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name="ended_by_somebody"),
    Index(
        "global_stop_one_open",
        text("coalesce(config_id, 0)"),
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
    ),
    comment="While a row is open nothing is reset. config_id: it was set in that SystemConfig.",
)

pause = Table(
    "pause",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("vm_id", BigInteger, ForeignKey("vm.id", ondelete="CASCADE"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("until", Moment),
    Column("started_by", Text, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("ended_by", Text),
    Column("ended_at", Moment),
    CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name="ended_by_somebody"),
    Index("pause_one_open_per_vm", "vm_id", unique=True, postgresql_where=text("ended_at IS NULL")),
    comment="Pauses set through the API or the command line; those of the spec are in vm.",
)

maintenance = Table(
    "maintenance",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("config_id", Integer, ForeignKey("system_config.id")),
    Column("name", Text, nullable=False),
    Column("selector", JSONB, nullable=False),
    Column("reason", Text, nullable=False),
    Column("starts_at", Moment, nullable=False),
    Column("ends_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("closed_at", Moment),
    CheckConstraint("ends_at > starts_at", name="in_order"),
    Index(
        "maintenance_one_open_per_name",
        text("coalesce(config_id, 0)"),
        "name",
        unique=True,
        postgresql_where=text("closed_at IS NULL"),
    ),
    comment="Windows in which VMs with certain labels are not reset. closed_at: ended, clocks set.",
)

report_rejection = Table(
    "report_rejection",
    metadata,
    Column("vm_id", BigInteger, ForeignKey("vm.id", ondelete="CASCADE"), primary_key=True),
    Column("at", Moment, nullable=False),
    Column("reason", Text, nullable=False),
    comment="The last report of a VM that was refused or shed: it is alive.",
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("vm_id", BigInteger),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    one_of("source", Source),
    Index("audit_vm_id_idx", "vm_id", "id"),
    comment="What people did, when, and why.",
)

status_outbox = Table(
    "status_outbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("vm_id", BigInteger, nullable=False),
    Column("queued_at", Moment, nullable=False, server_default=NOW),
    comment="VMs whose custom resource's status is to be written again. Filled by triggers.",
)

fleet_change = Table(
    "fleet_change",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("vm_id", BigInteger, nullable=False),
    Column("at", Moment, nullable=False, server_default=NOW),
    comment="Which VM changed, numbered: what /api/events tells. Kept for an hour.",
)

vm_projection = Table(
    "vm_projection",
    metadata,
    Column("vm_id", BigInteger, ForeignKey("vm.id", ondelete="CASCADE"), primary_key=True),
    Column("uid", Text, nullable=False),
    Column("status", JSONB, nullable=False),
    Column("written_at", Moment, nullable=False),
    comment="The status last written to each custom resource.",
)

api_token = Table(
    "api_token",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("sha256", LargeBinary, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("cluster_id", Integer, ForeignKey("proxmox_cluster.id")),
    Column("created_at", Moment, nullable=False, server_default=NOW),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    CheckConstraint("kind IN ('agent', 'admin')", name="kind_known"),
    CheckConstraint("(kind = 'agent') = (cluster_id IS NOT NULL)", name="agent_has_cluster"),
    CheckConstraint("octet_length(sha256) = 32", name="is_a_digest"),
    comment="Digests of random tokens; the tokens themselves are shown once and kept nowhere.",
)

ingest_liveness = Table(
    "ingest_liveness",
    metadata,
    Column("replica", Text, primary_key=True),
    Column("started_at", Moment, nullable=False),
    Column("proved_at", Moment, nullable=False),
    comment="Each API replica proves once a second that a heartbeat would be stored.",
)

ingest_gap = Table(
    "ingest_gap",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment, nullable=False),
    Column("cause", Text, nullable=False),
    CheckConstraint("cause IN ('silence', 'clock_jump')", name="cause_known"),
    CheckConstraint("ended_at >= started_at", name="in_order"),
    Index("ingest_gap_ended_at_idx", "ended_at"),
    comment="When the heartbeat path was away, written by the first proof after it. See clocks.",
)

leader_lease = Table(
    "leader_lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text),
    Column("epoch", BigInteger, nullable=False, server_default=text("0")),
    Column("expires_at", Moment),
    CheckConstraint("(holder IS NULL) = (expires_at IS NULL)", name="held_until"),
    comment="Who leads, and the epoch that every intent and POST is checked against.",
)

operator_health = Table(
    "operator_health",
    metadata,
    Column("singleton", Boolean, primary_key=True, server_default=text("true")),
    Column("swept_at", Moment),
    Column("sweep_seconds", Float),
    Column("kubernetes_seen_at", Moment),
    CheckConstraint("singleton", name="one_row"),
    comment="When the operator last swept and last heard from the Kubernetes API.",
)

from defib_core.store import (  # noqa: E402
    tables_identity,  # noqa: F401 - adds its tables
    tables_inventory,  # noqa: F401 - same
    tables_notices,  # noqa: F401 - same
    tables_relays,  # noqa: F401 - same
)
