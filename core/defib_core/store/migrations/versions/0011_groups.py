"""Triggers that run once a statement, and notices of groups: an outage writes few rows.

What was noted of each VM is, of many at once, noted of their nodes. Safe while replicas of the
version before run: triggers belong to the database, and their workers tell of a group as of a
brake, by its scope and detail.

Revision ID: 0011
Revises: 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# 25 is written in defib_core/store/notices.py too; a test holds the two together.
NOTICES = """
ALTER TABLE notice
    ADD COLUMN vm_ids BIGINT[],
    ADD COLUMN stands_for BIGINT[],
    ADD CONSTRAINT notice_group_is_whole_check
        CHECK ((vm_ids IS NULL) = (stands_for IS NULL)) NOT VALID;
ALTER TABLE notice VALIDATE CONSTRAINT notice_group_is_whole_check;
CREATE INDEX notice_group_idx ON notice (kind) WHERE stands_for IS NOT NULL;

CREATE FUNCTION note_vms(
    kind_of_all text, prefix text, ids bigint[], vms bigint[], details text[],
    moments timestamptz[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    most CONSTANT int := 25;
BEGIN
    IF cardinality(ids) <= most THEN
        INSERT INTO notice (key, kind, vm_id, detail, at)
        SELECT prefix || o.id, kind_of_all, o.vm_id, o.detail, o.at
        FROM unnest(ids, vms, details, moments) AS o(id, vm_id, detail, at)
        ORDER BY o.id
        ON CONFLICT (key) DO NOTHING;
        RETURN;
    END IF;
    WITH one AS (
        SELECT o.*, 'node ' || c.name || '/' || coalesce(v.node, 'unknown') AS scope
        FROM unnest(ids, vms, details, moments) AS o(id, vm_id, detail, at)
        JOIN vm v ON v.id = o.vm_id
        JOIN proxmox_cluster c ON c.id = v.cluster_id
    ),
    placed AS (
        SELECT one.id, one.vm_id, one.detail, one.at,
            CASE WHEN (SELECT count(DISTINCT scope) FROM one) <= most THEN one.scope
                 ELSE 'several nodes' END AS scope
        FROM one
    ),
    together AS (
        SELECT scope, min(id) AS id, min(at) AS at, count(*) AS members, min(vm_id) AS vm_id,
            array_agg(vm_id ORDER BY vm_id) AS vm_ids, array_agg(id ORDER BY vm_id) AS ids,
            array_agg(DISTINCT detail) AS details
        FROM placed GROUP BY scope
    )
    INSERT INTO notice (key, kind, vm_id, scope, detail, at, vm_ids, stands_for)
    SELECT CASE WHEN t.members > 1 THEN 'group/' ELSE '' END || prefix || t.id, kind_of_all,
        CASE WHEN t.members = 1 THEN t.vm_id END,
        CASE WHEN t.members > 1 THEN t.scope END,
        array_to_string(t.details[1:3], '; ')
            || CASE WHEN cardinality(t.details) > 3 THEN '; ...' ELSE '' END,
        t.at,
        CASE WHEN t.members > 1 THEN t.vm_ids END,
        CASE WHEN t.members > 1 THEN t.ids END
    FROM together t ORDER BY t.id
    ON CONFLICT (key) DO NOTHING;
END $$;

CREATE OR REPLACE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM changed) THEN
        RETURN NULL;
    END IF;
    PERFORM note_vms(
        n.kind, 'change/', array_agg(n.id ORDER BY n.id), array_agg(n.vm_id ORDER BY n.id),
        array_agg(n.detail ORDER BY n.id), array_agg(n.at ORDER BY n.id))
    FROM (
        SELECT c.id, c.vm_id, c.at, c.from_state || ' -> ' || c.to_state || ': ' || c.reason
            AS detail,
            CASE c.to_state WHEN 'down' THEN 'VmDown' WHEN 'reset_failed' THEN 'ResetFailed'
                            ELSE 'VmRecovered' END AS kind
        FROM changed c
        WHERE c.to_state IN ('down', 'reset_failed') OR c.from_state IN ('down', 'reset_failed')
    ) AS n
    GROUP BY n.kind ORDER BY min(n.id);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER note_change AFTER INSERT ON vm_transition
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_change();
"""

STATUSES = """
CREATE OR REPLACE FUNCTION queue_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM changed) THEN
        RETURN NULL;
    END IF;
    INSERT INTO status_outbox (vm_id) SELECT vm_id FROM changed;
    INSERT INTO fleet_change (vm_id) SELECT vm_id FROM changed;
    RETURN NULL;
END $$;
"""
OF_INSERTS = """
CREATE OR REPLACE TRIGGER queue_status AFTER INSERT ON {table}
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION queue_status();
"""
OF_UPDATES = """
CREATE TRIGGER queue_status_again AFTER UPDATE ON {table}
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION queue_status();
"""
# In the order in which the heartbeat's statement locks them.
BOTH = ("hold", "reset_history", "pause")


def upgrade() -> None:
    """Add the columns, and put triggers for statements in the place of those for rows."""
    connection = op.get_bind()
    connection.exec_driver_sql(STATUSES)
    connection.exec_driver_sql(OF_INSERTS.format(table="vm_transition"))
    connection.exec_driver_sql(NOTICES)
    for table in BOTH:
        connection.exec_driver_sql(OF_INSERTS.format(table=table))
        connection.exec_driver_sql(OF_UPDATES.format(table=table))


def downgrade() -> None:
    """Nothing is removed: the version before runs on this schema."""
    raise NotImplementedError("drop the database instead")
