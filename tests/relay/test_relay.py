"""The relay in front of a real API: what it takes arrives, as whose it was, and how old it was."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from defib_core.config.settings import RelaySettings
from defib_core.store.tokens import TokenKind
from defib_relay.main import Relay, create, server_config
from support.relay_process import new_relay
from support.running_api import SEED_REPORT, RunningApi, running_api
from support.serving import served
from support.waiting import eventually_async

DEADLINE = 60


@dataclass
class Site:
    """A relay, and the API it forwards to."""

    api: RunningApi
    relay: Relay
    http: httpx.AsyncClient

    async def report(self, key: str | None = None, **changes: object) -> httpx.Response:
        return await self.http.post(
            "/api/health/report",
            json={**SEED_REPORT, **changes},
            headers={"X-API-Key": self.api.agent_key if key is None else key},
        )

    async def until(self, sql: str, wanted: object) -> None:
        seen: object = None

        async def is_so() -> bool:
            nonlocal seen
            seen = await self.api.sql(sql)
            return seen == wanted

        try:
            await eventually_async(is_so, what=sql, deadline_seconds=DEADLINE)
        except AssertionError as error:
            raise AssertionError(f"{sql}: {seen} and not {wanted}") from error


@asynccontextmanager
async def site_of(api: RunningApi, token: str, folder: Path) -> AsyncIterator[Site]:
    settings = RelaySettings(
        api_url=f"http://127.0.0.1:{api.port}",
        relay_token=SecretStr(token),
        relay_folder=folder,
        relay_host="127.0.0.1",
    )
    relay, app = create(settings)
    server = uvicorn.Server(server_config(app, settings, loop="asyncio"))
    async with (
        served(server) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):
        yield Site(api, relay, http)


@pytest.fixture
async def site(database_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    token = await new_relay(database_url)
    async with (
        running_api(database_url, None) as api,
        site_of(api, token, tmp_path / "spool") as running,
    ):
        yield running


async def test_what_it_takes_arrives_and_says_which_way_it_came(site: Site) -> None:
    answer = await site.report()
    assert answer.status_code == 200
    assert answer.json()["success"] is True
    assert answer.json()["relayed"] is True
    batch = {"reports": [{**SEED_REPORT, "vmid": 101}, {**SEED_REPORT, "vmid": 1}]}
    together = await site.http.post(
        "/api/health/reports", json=batch, headers={"X-API-Key": site.api.agent_key}
    )
    assert (together.json()["accepted"], together.json()["rejected"][0]["status"]) == (1, 400)
    await site.until(
        "SELECT v.vmid, s.state, s.reports, r.name FROM vm_state s JOIN vm v ON v.id = s.vm_id"
        " JOIN relay r ON r.id = s.relay_id ORDER BY 1",
        [(100, "healthy", 1, "site-a"), (101, "healthy", 1, "site-a")],
    )
    await site.until("SELECT count(*) FROM relay WHERE proved_at IS NOT NULL", [(1,)])

    async def nothing_waits() -> bool:
        said = (await site.http.get("/readyz")).json()
        return bool(said["ready"] and said["api"] == "ok" and said["waiting"] == 0)

    await eventually_async(nothing_waits, what="nothing waits", deadline_seconds=DEADLINE)


async def test_it_proves_itself_while_nobody_reports(site: Site) -> None:
    await site.until("SELECT count(*) FROM relay WHERE proved_at IS NOT NULL", [(1,)])
    await site.api.sql("UPDATE relay SET proved_at = now() - interval '1 hour'")
    await site.until(
        "SELECT count(*) FROM relay WHERE proved_at > now() - interval '1 minute'", [(1,)]
    )
    assert (await site.api.sql("SELECT count(*) FROM relay_gap"))[0][0] >= 1


async def test_a_disk_that_takes_nothing_is_answered_503_and_proves_nothing(
    site: Site, tmp_path: Path
) -> None:
    await site.until("SELECT count(*) FROM relay WHERE proved_at IS NOT NULL", [(1,)])
    (tmp_path / "spool").rename(tmp_path / "gone")
    answer = await site.report()
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert (await site.http.get("/readyz")).status_code == 503
    proofs = site.api.services.counts.relay_proofs
    batches = site.api.services.counts.batches[200]

    async def asked_on() -> bool:
        return site.api.services.counts.batches[200] >= batches + 2

    await eventually_async(asked_on, what="it goes on asking", deadline_seconds=DEADLINE)
    assert site.api.services.counts.relay_proofs <= proofs + 1
    (tmp_path / "gone").rename(tmp_path / "spool")

    async def well_again() -> bool:
        return (await site.report()).status_code == 200

    await eventually_async(well_again, what="it takes reports again", deadline_seconds=DEADLINE)


async def test_an_unknown_key_is_found_out_and_its_agent_is_told(site: Site) -> None:
    assert (await site.report("nobody's key")).status_code == 200

    async def told() -> bool:
        answer = await site.report("nobody's key")
        return answer.status_code == 401 and "not valid" in answer.json()["message"]

    await eventually_async(told, what="the agent is told", deadline_seconds=DEADLINE)
    assert (await site.report(vmid=101)).status_code == 200
    await site.until("SELECT vmid FROM vm", [(101,)])


async def test_whoever_reports_under_a_revoked_key_is_known_to_be_alive(site: Site) -> None:
    await site.report()
    await site.until("SELECT reports FROM vm_state", [(1,)])
    await site.api.sql("UPDATE api_token SET revoked_at = now() WHERE kind = 'agent'")

    async def noted() -> bool:
        await site.report()
        rows = await site.api.sql("SELECT reason FROM report_rejection")
        return rows == [("its key was revoked or has expired",)]

    await eventually_async(noted, what="the sign of life is written", deadline_seconds=DEADLINE)


async def test_a_report_that_is_none_is_refused_and_a_sign_of_life_all_the_same(
    site: Site,
) -> None:
    await site.report()
    await site.until("SELECT reports FROM vm_state", [(1,)])
    answer = await site.report(cpuUsage=900)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "cpuUsage")
    await site.until("SELECT count(*) FROM report_rejection", [(1,)])


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/api/health/report", {}, 401),
        ("POST", "/api/health/report", {"X-API-Key": "x", "Content-Type": "text/plain"}, 415),
        ("POST", "/api/health/report", {"X-API-Key": "x", "Content-Type": "application/json"}, 400),
        ("GET", "/api/vms", {}, 404),
        ("GET", "/livez", {}, 200),
    ],
)
async def test_it_answers_as_the_api_would(
    site: Site, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = await site.http.request(method, path, headers=headers, content=b"{")
    assert answer.status_code == status
    too_large = await site.http.post(
        "/api/health/report",
        content=b"x" * 20_000,
        headers={"X-API-Key": "x", "Content-Type": "application/json"},
    )
    assert too_large.status_code == 413


async def test_a_key_of_another_cluster_is_refused(site: Site) -> None:
    await site.api.sql(
        "WITH c AS (INSERT INTO proxmox_cluster (namespace, name) VALUES ('defib', 'other')"
        " RETURNING id) UPDATE api_token SET cluster_id = c.id FROM c WHERE kind = 'agent'"
    )
    other = await site.api.new_token(TokenKind.AGENT, "mine")

    # The process may know the key by its old cluster for a moment.
    async def refused() -> bool:
        await site.report()
        return site.api.services.counts.batched[403] > 0

    await eventually_async(refused, what="it is refused", deadline_seconds=DEADLINE)
    assert (await site.report(other, vmid=101)).status_code == 200
    await site.until("SELECT count(*) FROM vm WHERE vmid = 101", [(1,)])


async def test_whoever_has_no_key_fills_a_share_of_the_disk_while_the_api_is_away(
    database_url: str, tmp_path: Path
) -> None:
    token = await new_relay(database_url)
    folder = tmp_path / "spool"
    async with running_api(database_url, None) as api, site_of(api, token, folder) as site:
        await site.report()
        digest = hashlib.sha256(api.agent_key.encode()).hexdigest()

        async def proven() -> bool:
            return site.relay.proven.knows(digest)

        await eventually_async(proven, what="the key is proven", deadline_seconds=DEADLINE)

    # The API is gone, and the relay starts again: it knows who has proved himself.
    async with site_of(api, token, folder) as site:
        site.relay.spool._most_bytes = 40_000

        async def refused() -> bool:
            answer = await site.report("nobody's key")
            assert answer.status_code in {200, 503}
            return answer.status_code == 503

        await eventually_async(refused, what="its share is full", deadline_seconds=DEADLINE)
        assert (await site.report()).status_code == 200
        assert site.relay.spool.lost == 0
        assert sum(one.stat().st_size for one in folder.glob("*.unproven")) <= 4_000


async def test_one_guests_report_takes_no_others_with_it(site: Site) -> None:
    """What the relay can read and the API, a level deeper, cannot: the batch is sent in parts."""
    headers = {"X-API-Key": site.api.agent_key, "Content-Type": "application/json"}
    depths = (200, 400, 600, 800, 900, 950, 970, 980, 990, 995, 1000, 1200, 2000, 5000)
    for turn, depth in enumerate(depths, 1):
        body = json.dumps({**SEED_REPORT, "vmid": 999_000 + turn})
        deep = body[:-1] + ', "x": ' + "[" * depth + "]" * depth + "}"
        vmids = range(turn * 1000, turn * 1000 + 4)
        answers = await asyncio.gather(
            site.http.post("/api/health/report", content=deep, headers=headers),
            *(site.report(vmid=vmid) for vmid in vmids),
        )
        assert [one.status_code for one in answers[1:]] == [200] * len(vmids)
    await site.until("SELECT count(*) FROM vm WHERE vmid < 999000", [(4 * len(depths),)])


async def test_a_batch_that_is_refused_whole_is_sent_in_parts(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a guest's report that grows past what the API takes."""
    forwarding = site.relay.forwarding
    as_it_is = forwarding._send

    async def refused_with_the_poison(reports: Sequence[dict[str, object]]) -> bool:
        if any(one["vmid"] == 300 for one in reports):
            return False
        return await as_it_is(reports)

    monkeypatch.setattr(forwarding, "_send", refused_with_the_poison)
    batch = {"reports": [{**SEED_REPORT, "vmid": vmid} for vmid in (100, 101, 300, 102, 103)]}
    answer = await site.http.post(
        "/api/health/reports", json=batch, headers={"X-API-Key": site.api.agent_key}
    )
    assert answer.json()["accepted"] == 5
    await site.until("SELECT vmid FROM vm ORDER BY 1", [(100,), (101,), (102,), (103,)])

    async def counted() -> bool:  # after the last answer, which is later than the rows
        return (site.relay.spool.lost, forwarding.forwarded) == (1, 4)

    await eventually_async(counted, what="one lost, four sent", deadline_seconds=DEADLINE)
