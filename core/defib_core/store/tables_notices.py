"""The tables of what people are told: notices as they arise, and deliveries of them."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from defib_core.domain.notices import NoticeKind, Severity
from defib_core.store.tables import NOW, Moment, metadata, one_of

notice = Table(
    "notice",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("vm_id", BigInteger, ForeignKey("vm.id", ondelete="CASCADE")),
    Column("scope", Text),
    Column("detail", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("created_at", Moment, nullable=False, server_default=NOW),
    Column("settled_at", Moment),
    Column("vm_ids", ARRAY(BigInteger)),
    Column("stands_for", ARRAY(BigInteger)),
    one_of("kind", NoticeKind),
    CheckConstraint("(vm_id IS NULL) <> (scope IS NULL)", name="about_something"),
    CheckConstraint("(vm_ids IS NULL) = (stands_for IS NULL)", name="group_is_whole"),
    Index("notice_unsettled_idx", "id", postgresql_where=text("settled_at IS NULL")),
    Index("notice_vm_id_idx", "vm_id"),
    Index("notice_group_idx", "kind", postgresql_where=text("stands_for IS NOT NULL")),
    comment="What people may want to know, once each. Settled: in deliveries, or told to nobody.",
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("destination", Text, nullable=False),
    Column("group_key", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("notices", JSONB, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("next_at", Moment, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("claimed_until", Moment),
    Column("delivered_at", Moment),
    Column("dead_at", Moment),
    Column("error", Text),
    one_of("severity", Severity),
    CheckConstraint("delivered_at IS NULL OR dead_at IS NULL", name="one_end"),
    CheckConstraint("dead_at IS NULL OR error IS NOT NULL", name="dead_of_something"),
    Index(
        "delivery_waiting_idx",
        "next_at",
        postgresql_where=text("delivered_at IS NULL AND dead_at IS NULL"),
    ),
    Index("delivery_group_idx", "destination", "group_key", "created_at"),
    comment="A message to a destination: tried until it is delivered, or dead.",
)
