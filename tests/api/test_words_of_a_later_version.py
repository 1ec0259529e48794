"""Beside a later version, and after going back from it: words that this one lacks break nothing.

States, phases and actions are held by constraints; reasons, deeds and kinds of notices are not.
"""

import pytest

from support.running_api import RunningApi

LATER = """
UPDATE vm_state SET state = 'down', state_since = now() - interval '1 hour';
INSERT INTO vm_transition (vm_id, at, from_state, to_state, reason)
VALUES (1, now(), 'healthy', 'down', 'LaterReason');
INSERT INTO hold (vm_id, reason, message, started_at)
VALUES (1, 'LaterReason', 'what only a later version knows', now() - interval '1 hour');
INSERT INTO brake (kind, key, reason, message, started_at)
SELECT 'fleet', id::text, 'LaterReason', 'a later brake', now() FROM system_config;
INSERT INTO audit (at, actor, source, action, vm_id, detail)
VALUES (now(), 'kim', 'api', 'LaterDeed', 1, '{}');
INSERT INTO report_rejection (vm_id, at, reason) VALUES (1, now(), 'later');
INSERT INTO reset_history (vm_id, action, source, actor, reason, attempt, requested_at, phase,
    finished_at, cancelled_by)
VALUES (1, 'Reset', 'auto', 'x', 'x', 1, now(), 'cancelled', now(), 'LaterReason')
"""
READS = (
    "/api/vms",
    "/api/vms?limit=10",
    "/api/vms/vm_1",
    "/api/vms/vm_1/explain",
    "/api/vms/vm_1/timeline",
    "/api/vms/vm_1/holds",
    "/api/vms/vm_1/reset-history",
    "/api/fleet",
    "/api/status",
    "/api/system",
    "/api/config",
    "/api/coverage",
    "/api/audit",
    "/api/notifications",
)


@pytest.fixture
async def visited(api: RunningApi) -> RunningApi:
    """A database in which a later version has written."""
    await api.report()
    for statement in LATER.split(";"):
        await api.sql(statement)
    return api


async def test_what_a_later_version_wrote_breaks_no_read(visited: RunningApi) -> None:
    failed = {}
    for path in READS:
        answer = await visited.get(path)
        if answer.status_code != 200:
            failed[path] = answer.text
    assert failed == {}
    assert (await visited.get("/api/audit")).json() == []
