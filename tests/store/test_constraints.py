"""Wrong states that the tables themselves refuse, whatever a statement of ours says."""

import pytest
from sqlalchemy.exc import IntegrityError

from support.stored import Stored

A_RESET = (
    "INSERT INTO reset_history (vm_id, phase, action, source, actor, reason, attempt, requested_at"
    " {columns}) VALUES (:vm, '{phase}', '{action}', '{source}', 'a', 'r', {attempt},"
    " defib_now() {values})"
)


def reset(
    columns: str = "",
    values: str = "",
    *,
    phase: str = "requested",
    action: str = "Reset",
    source: str = "auto",
    attempt: int = 1,
) -> str:
    return A_RESET.format(
        columns=f", {columns}" if columns else "",
        values=f", {values}" if values else "",
        phase=phase,
        action=action,
        source=source,
        attempt=attempt,
    )


A_VM = (
    "INSERT INTO vm (cluster_id, vmid, hostname, registered_by, config_id{columns})"
    " SELECT c.id, {vmid}, 'x', '{by}', s.id{values} FROM proxmox_cluster c, system_config s"
)


def vm(columns: str = "", values: str = "", *, vmid: int = 5000, by: str = "agent") -> str:
    return A_VM.format(
        columns=f", {columns}" if columns else "",
        values=f", {values}" if values else "",
        vmid=vmid,
        by=by,
    )


A_STEP = (
    "INSERT INTO reset_step (intent_id, seq, step, phase, epoch, node, sending_at, finished_at)"
    " SELECT id, {seq}, '{step}', '{phase}', 1, 'pve1', defib_now(), {finished}"
    " FROM reset_history WHERE vm_id = :vm"
)


def post(seq: int = 1, step: str = "reset", phase: str = "sending", finished: str = "NULL") -> str:
    return A_STEP.format(seq=seq, step=step, phase=phase, finished=finished)


A_HOLD = (
    "INSERT INTO hold (vm_id, reason, message, started_at, ended_at)"
    " VALUES (:vm, 'Paused', 'x', defib_now(), {ended})"
)
A_TOKEN = (
    "INSERT INTO api_token (sha256, kind, name, cluster_id)"
    " SELECT {digest}, '{kind}', 'x', {cluster} FROM proxmox_cluster"
)
DIGEST = "sha256('a'::bytea)"
MINUTE_AGO = "defib_now() - interval '1 min'"

WRONG = [
    ("vm_vmid_range_check", [vm(vmid=99)]),
    ("vm_vmid_range_check", [vm(vmid=1_000_000_000)]),
    ("vm_registered_by_known_check", [vm(by="nobody")]),
    ("vm_cluster_id_vmid_key", [vm(), vm()]),
    ("vm_object_named_check", [vm("uid", "'u'")]),
    ("vm_object_named_check", [vm("uid, name", "'u', 'n'")]),
    ("vm_object_named_check", [vm("namespace, name", "'s', 'n'")]),
    (
        "vm_tombstoned_without_object_check",
        [vm("uid, namespace, name, tombstoned_at", "'u', 's', 'n', defib_now()")],
    ),
    (
        "vm_object_key",
        [
            vm("uid, namespace, name", "'u', 's', 'n'"),
            vm("uid, namespace, name", "'v', 's', 'n'", vmid=5001),
        ],
    ),
    ("vm_cluster_id_fkey", ["UPDATE vm SET cluster_id = 0 WHERE id = :vm"]),
    ("vm_config_id_fkey", ["UPDATE vm SET config_id = 0 WHERE id = :vm"]),
    (
        "vm_state_state_known_check",
        ["UPDATE vm_state SET state = 'dead', last_heartbeat = defib_now() WHERE vm_id = :vm"],
    ),
    ("vm_state_known_by_report_check", ["UPDATE vm_state SET state = 'down' WHERE vm_id = :vm"]),
    (
        "vm_state_attempts_not_negative_check",
        ["UPDATE vm_state SET reset_attempts = -1 WHERE vm_id = :vm"],
    ),
    (
        "vm_state_timeout_positive_check",
        ["UPDATE vm_state SET stale_timeout = '0' WHERE vm_id = :vm"],
    ),
    ("vm_state_pkey", ["INSERT INTO vm_state SELECT * FROM vm_state WHERE vm_id = :vm"]),
    (
        "vm_transition_is_a_change_check",
        [
            (
                "INSERT INTO vm_transition (vm_id, at, from_state, to_state, reason)"
                " VALUES (:vm, defib_now(), 'down', 'down', 'x')"
            )
        ],
    ),
    (
        "vm_transition_to_state_known_check",
        [
            (
                "INSERT INTO vm_transition (vm_id, at, from_state, to_state, reason)"
                " VALUES (:vm, defib_now(), 'down', 'dead', 'x')"
            )
        ],
    ),
    (
        "vm_transition_from_state_known_check",
        [
            (
                "INSERT INTO vm_transition (vm_id, at, from_state, to_state, reason)"
                " VALUES (:vm, defib_now(), 'dead', 'down', 'x')"
            )
        ],
    ),
    ("reset_history_phase_known_check", [reset("finished_at", "defib_now()", phase="perhaps")]),
    ("reset_history_action_known_check", [reset(action="Shutdown")]),
    ("reset_history_source_known_check", [reset(source="cron")]),
    ("reset_history_attempt_from_one_check", [reset(attempt=0)]),
    ("reset_history_one_unfinished_per_vm", [reset(), reset()]),
    ("reset_history_finished_when_final_check", [reset("finished_at", "defib_now()")]),
    ("reset_history_finished_when_final_check", [reset(phase="failed")]),
    ("reset_history_cancelled_why_check", [reset("finished_at", "defib_now()", phase="cancelled")]),
    ("reset_history_cancelled_why_check", [reset("cancelled_by", "'Paused'")]),
    ("reset_history_sent_when_check", [reset(phase="sent")]),
    ("reset_history_sent_when_check", [reset("finished_at", "defib_now()", phase="succeeded")]),
    ("reset_history_recovered_after_sent_check", [reset("recovered_at", "defib_now()")]),
    (
        "reset_history_request_key",
        [
            reset("request_key, finished_at", "'k', defib_now()", phase="failed"),
            reset("request_key", "'k'"),
        ],
    ),
    ("reset_step_pkey", [reset(), post(), post()]),
    ("reset_step_seq_from_one_check", [reset(), post(seq=0)]),
    ("reset_step_step_known_check", [reset(), post(step="suspend")]),
    ("reset_step_phase_known_check", [reset(), post(phase="perhaps", finished="defib_now()")]),
    ("reset_step_finished_when_final_check", [reset(), post(phase="failed")]),
    ("reset_step_finished_when_final_check", [reset(), post(finished="defib_now()")]),
    (
        "reset_step_intent_id_fkey",
        [
            (
                "INSERT INTO reset_step (intent_id, seq, step, phase, epoch, node, sending_at)"
                " VALUES (0, 1, 'reset', 'sending', 1, 'pve1', defib_now())"
            )
        ],
    ),
    ("hold_one_open_per_vm", [A_HOLD.format(ended="NULL"), A_HOLD.format(ended="NULL")]),
    ("hold_in_order_check", [A_HOLD.format(ended=MINUTE_AGO)]),
    ("api_token_kind_known_check", [A_TOKEN.format(digest=DIGEST, kind="root", cluster="NULL")]),
    (
        "api_token_agent_has_cluster_check",
        [A_TOKEN.format(digest=DIGEST, kind="agent", cluster="NULL")],
    ),
    (
        "api_token_agent_has_cluster_check",
        [A_TOKEN.format(digest=DIGEST, kind="admin", cluster="id")],
    ),
    (
        "api_token_is_a_digest_check",
        [A_TOKEN.format(digest="'the token itself'::bytea", kind="admin", cluster="NULL")],
    ),
    ("api_token_sha256_key", [A_TOKEN.format(digest=DIGEST, kind="admin", cluster="NULL")] * 2),
    (
        "ingest_gap_cause_known_check",
        [
            (
                "INSERT INTO ingest_gap (started_at, ended_at, cause)"
                " VALUES (defib_now(), defib_now(), 'x')"
            )
        ],
    ),
    (
        "ingest_gap_in_order_check",
        [
            (
                "INSERT INTO ingest_gap (started_at, ended_at, cause)"
                f" VALUES (defib_now(), {MINUTE_AGO}, 'silence')"
            )
        ],
    ),
    ("leader_lease_held_until_check", ["UPDATE leader_lease SET holder = 'a'"]),
    ("leader_lease_held_until_check", ["UPDATE leader_lease SET expires_at = defib_now()"]),
    ("operator_health_one_row_check", ["INSERT INTO operator_health (singleton) VALUES (false)"]),
    ("operator_health_pkey", ["INSERT INTO operator_health DEFAULT VALUES"]),
    (
        "proxmox_cluster_namespace_name_key",
        ["INSERT INTO proxmox_cluster (namespace, name) VALUES ('defib', 'default')"],
    ),
    (
        "system_config_namespace_name_key",
        ["INSERT INTO system_config (namespace, name, spec) VALUES ('defib', 'default', '{}')"],
    ),
]


@pytest.mark.parametrize(
    ("constraint", "statements"),
    [pytest.param(*row, id=f"{row[0]}-{n}") for n, row in enumerate(WRONG)],
)
async def test_the_tables_refuse(stored: Stored, constraint: str, statements: list[str]) -> None:
    vm_id = await stored.vm()
    *before, last = statements
    for statement in before:
        await stored.execute(statement, **({"vm": vm_id} if ":vm" in statement else {}))
    with pytest.raises(IntegrityError, match=f'"{constraint}"'):
        await stored.execute(last, **({"vm": vm_id} if ":vm" in last else {}))


async def test_every_check_and_key_of_these_tables_is_tried(stored: Stored) -> None:
    tables = {
        "vm",
        "vm_state",
        "vm_transition",
        "reset_history",
        "reset_step",
        "hold",
        "api_token",
        "ingest_gap",
        "leader_lease",
        "operator_health",
    }
    found = await stored.execute(
        "SELECT conname AS name FROM pg_constraint"
        " WHERE contype IN ('c', 'u') AND conrelid::regclass::text = ANY (:tables)"
        " UNION SELECT indexname FROM pg_indexes"
        " WHERE tablename = ANY (:tables) AND indexdef LIKE 'CREATE UNIQUE%WHERE%'",
        tables=list(tables),
    )
    untried = {row.name for row in found} - {constraint for constraint, _ in WRONG}
    assert untried == set()


@pytest.mark.parametrize(
    "statements",
    [
        [reset("finished_at", "defib_now()", phase="failed"), reset()],
        [reset("finished_at", "defib_now()", phase="dry_run")] * 2,
        [
            reset("request_key, finished_at", "'k', defib_now()", phase="failed"),
            reset("request_key", "'l'"),
        ],
        [A_HOLD.format(ended="defib_now()"), A_HOLD.format(ended="NULL")],
        [reset(), post(), post(seq=2, step="start")],
    ],
    ids=[
        "a reset after one that failed",
        "two dry runs",
        "two requests",
        "a hold after a hold",
        "two posts",
    ],
)
async def test_what_is_right_is_taken(stored: Stored, statements: list[str]) -> None:
    vm_id = await stored.vm()
    for statement in statements:
        await stored.execute(statement, vm=vm_id)


async def test_what_belongs_to_a_vm_goes_with_it(stored: Stored) -> None:
    vm_id = await stored.down_vm()
    intent_id = await stored.send(vm_id)
    await stored.execute(A_HOLD.format(ended="NULL"), vm=vm_id)
    await stored.execute("DELETE FROM vm WHERE id = :vm", vm=vm_id)
    for table in ("vm_state", "vm_transition", "reset_history", "hold", "vm_projection"):
        left = await stored.value(f"SELECT count(*) FROM {table} WHERE vm_id = :vm", vm=vm_id)
        assert left == 0, table
    steps = "SELECT count(*) FROM reset_step WHERE intent_id = :id"
    assert await stored.value(steps, id=intent_id) == 0
