"""The tables of who may report, and of who may see and do what. Digests, never tokens."""

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
from sqlalchemy.dialects.postgresql import JSONB, UUID

from defib_core.domain.roles import Role
from defib_core.store.tables import NOW, Moment, metadata, one_of

enrolment_token = Table(
    "enrolment_token",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("sha256", LargeBinary, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("cluster_id", Integer, ForeignKey("proxmox_cluster.id"), nullable=False),
    Column("vmid_from", Integer),
    Column("vmid_to", Integer),
    Column("match_labels", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("uses", Integer, nullable=False, server_default=text("0")),
    Column("uses_most", Integer, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Moment, nullable=False, server_default=NOW),
    Column("expires_at", Moment, nullable=False),
    Column("revoked_at", Moment),
    CheckConstraint("octet_length(sha256) = 32", name="is_a_digest"),
    CheckConstraint("uses BETWEEN 0 AND uses_most", name="uses_bounded"),
    CheckConstraint("(vmid_from IS NULL) = (vmid_to IS NULL)", name="range_whole"),
    CheckConstraint("vmid_from <= vmid_to", name="range_in_order"),
    comment="Digests of tokens that machines exchange for a token of their own, a few times.",
)

agent_token = Table(
    "agent_token",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("sha256", LargeBinary, nullable=False, unique=True),
    Column("cluster_id", Integer, ForeignKey("proxmox_cluster.id"), nullable=False),
    Column("vm_id", BigInteger, ForeignKey("vm.id", ondelete="CASCADE")),
    Column("smbios_uuid", UUID(as_uuid=False)),
    Column("hostname", Text, nullable=False),
    Column("enrolment_id", Integer, ForeignKey("enrolment_token.id")),
    Column("created_by", Text, nullable=False),
    Column("created_at", Moment, nullable=False, server_default=NOW),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("revoked_by", Text),
    CheckConstraint("octet_length(sha256) = 32", name="is_a_digest"),
    CheckConstraint("num_nonnulls(vm_id, smbios_uuid) > 0", name="of_a_machine"),
    CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", name="revoked_by_somebody"),
    Index(
        "agent_token_one_of_a_vm",
        "vm_id",
        unique=True,
        postgresql_where=text("revoked_at IS NULL AND expires_at IS NULL"),
    ),
    Index(
        "agent_token_one_of_a_machine",
        "cluster_id",
        "smbios_uuid",
        unique=True,
        postgresql_where=text("revoked_at IS NULL AND expires_at IS NULL"),
    ),
    comment="Digests of tokens of single VMs. vm_id is null until Proxmox shows which VM it is.",
)

sought_machine = Table(
    "sought_machine",
    metadata,
    Column("cluster_id", Integer, ForeignKey("proxmox_cluster.id"), primary_key=True),
    Column("smbios_uuid", UUID(as_uuid=False), primary_key=True),
    Column("hostname", Text, nullable=False),
    Column("sought_at", Moment, nullable=False),
    Column("vmid", Integer),
    Column("found_at", Moment),
    CheckConstraint("(vmid IS NULL) = (found_at IS NULL)", name="found_whole"),
    comment="Machines that report by SMBIOS UUID alone, and the VMID that Proxmox has for them.",
)

personal_token = Table(
    "personal_token",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("sha256", LargeBinary, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", Moment, nullable=False, server_default=NOW),
    Column("expires_at", Moment, nullable=False),
    Column("revoked_at", Moment),
    CheckConstraint("octet_length(sha256) = 32", name="is_a_digest"),
    one_of("role", Role),
    comment="Digests of tokens of people and programs, each with a role and an end.",
)

session = Table(
    "session",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("sha256", LargeBinary, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("api_token_id", Integer, ForeignKey("api_token.id", ondelete="CASCADE")),
    Column("personal_token_id", Integer, ForeignKey("personal_token.id", ondelete="CASCADE")),
    Column("created_at", Moment, nullable=False, server_default=NOW),
    Column("expires_at", Moment, nullable=False),
    Column("ended_at", Moment),
    CheckConstraint("octet_length(sha256) = 32", name="is_a_digest"),
    one_of("role", Role),
    CheckConstraint("via IN ('session', 'oidc')", name="via_known"),
    comment="Digests of browsers' session cookies. One begun with a token ends with it.",
)
