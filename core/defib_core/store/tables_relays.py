"""The tables of relays, and of the times when one did not prove itself."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)

from defib_core.store.tables import NOW, Moment, metadata

relay = Table(
    "relay",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("cluster_id", Integer, ForeignKey("proxmox_cluster.id"), nullable=False),
    Column("sha256", LargeBinary, nullable=False, unique=True),
    Column("created_at", Moment, nullable=False, server_default=NOW),
    Column("revoked_at", Moment),
    Column("proved_at", Moment),
    # What the relay said of itself with its last proof: reports waiting on its disk, and lost.
    Column("waiting", BigInteger, nullable=False, server_default=text("0")),
    Column("lost", BigInteger, nullable=False, server_default=text("0")),
    Column("version", Text),
    CheckConstraint("octet_length(sha256) = 32", name="is_a_digest"),
    comment="Relays take reports on a site and forward them; each proves itself.",
)

relay_gap = Table(
    "relay_gap",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("relay_id", Integer, ForeignKey("relay.id", ondelete="CASCADE"), nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment, nullable=False),
    CheckConstraint("ended_at >= started_at", name="in_order"),
    Index("relay_gap_relay_id_idx", "relay_id", "ended_at"),
    comment="When a relay did not prove itself, written by its first proof after.",
)
