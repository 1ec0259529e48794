"""What the API shows to Prometheus: counts that add up, and labels that nobody outside can make."""

import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from defib_core.config.settings import SettingsError
from defib_dev.components.ports import free_port
from support.running_api import RunningApi, listening, running_api, settings_for
from support.scrape import Scrape, scrape
from support.waiting import eventually_async

LOOPBACK = "127.0.0.1"


class Watched:
    """An API, and its port for metrics."""

    def __init__(self, api: RunningApi, port: int) -> None:
        self.api = api
        self.port = port

    async def scrape(self) -> Scrape:
        return await scrape(self.port)


@pytest.fixture
async def watched(database_url: str, redis_url: str) -> AsyncIterator[Watched]:
    port = free_port()
    async with running_api(
        database_url, redis_url, metrics_port=port, metrics_host=LOOPBACK
    ) as api:
        yield Watched(api, port)


async def test_each_report_is_counted_once_by_what_became_of_it(watched: Watched) -> None:
    before = await watched.scrape()
    assert before.value("defib_reports_total") == 0
    await watched.api.report()
    await watched.api.report(cpuUsage=900)
    await watched.api.send({"hostname": "x"}, **{"X-API-Key": "nobody's"})
    await watched.api.send_raw(b"x" * 20_000)
    await watched.api.batch({"vmid": 101}, {"vmid": 102}, {"vmid": 103, "cpuUsage": 900})

    after = await watched.scrape()
    assert after.value("defib_reports_total", via="single", outcome="accepted") == 1
    for code in ("400", "401", "413"):
        assert after.value("defib_reports_total", via="single", code=code) == 1
    assert after.value("defib_reports_total", via="batch", outcome="accepted") == 2
    assert after.value("defib_reports_total", via="batch", outcome="rejected") == 1
    assert after.value("defib_report_batches_total", code="200") == 1
    assert after.value("defib_commit_reports_sum") == 3
    assert 1 <= after.value("defib_commit_duration_seconds_count") <= 3
    assert after.value("defib_reports_waiting") == 0
    assert after.value("defib_ingest_up") == 1


async def test_requests_are_timed_by_route_and_never_by_path(watched: Watched) -> None:
    await watched.api.report()
    for path in ("/api/vms", "/api/vms/vm_1", "/api/vms/vm_987654", "/no/such/place-42"):
        await watched.api.get(path)
    await watched.api.http.request("PROPFIND", "/api/vms")

    found = await watched.scrape()
    count = "defib_http_request_duration_seconds_count"
    assert found.value(count, method="GET", route="/api/vms", code="200") == 1
    assert found.value(count, route="/api/vms/{vm_id}") == 2
    assert found.value(count, route="/api/vms/{vm_id}", code="404") == 1
    assert found.value(count, route="other", code="404") >= 1
    assert found.value(count, method="other") == 1
    labels = {value for sample in found.samples for value in sample.labels.values()}
    assert not any("987654" in value or "place-42" in value for value in labels)


async def test_names_follow_the_conventions_and_each_is_explained(watched: Watched) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"http://{LOOPBACK}:{watched.port}/metrics")).text
    found = Scrape.of(text)
    ours = {name: kind for name, kind in found.types.items() if name.startswith("defib_")}
    assert len(ours) > 10
    for name, kind in ours.items():
        assert kind in {"counter", "gauge", "histogram"}, name
        assert f"# HELP {name}" in text
    assert found.value("defib_build_info", process="api") == 1
    assert found.value("process_resident_memory_bytes") > 0
    assert watched.api.agent_key not in text
    assert watched.api.admin_token not in text


async def test_a_cache_that_is_away_shows(watched: Watched) -> None:
    assert (await watched.scrape()).value("defib_redis_up") == 1
    watched.api.services.cache._rest(OSError("gone"))
    assert (await watched.scrape()).value("defib_redis_up") == 0


async def test_without_a_port_none_is_open(database_url: str) -> None:
    async with running_api(database_url, None) as api:
        assert (await api.http.get("/metrics")).status_code == 404


async def test_without_redis_nothing_is_said_of_it(database_url: str) -> None:
    port = free_port()
    async with running_api(database_url, None, metrics_port=port, metrics_host=LOOPBACK):
        assert (await scrape(port)).found("defib_redis_up") == []


async def test_a_port_that_is_taken_is_named(database_url: str) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        settings = settings_for(
            database_url, None, metrics_port=taken.getsockname()[1], metrics_host=LOOPBACK
        )
        from defib_api.metrics import registry_of  # noqa: PLC0415
        from defib_api.services import make_services  # noqa: PLC0415
        from defib_core.config.metrics_port import serving_metrics  # noqa: PLC0415

        services = make_services(settings)
        with (
            pytest.raises(SettingsError, match="DEFIB_METRICS_PORT"),
            serving_metrics(settings, registry_of(services)),
        ):
            pass
        await services.engine.dispose()


async def test_the_port_is_given_back_at_the_end(database_url: str) -> None:
    port = free_port()
    settings = settings_for(database_url, None, metrics_port=port, metrics_host=LOOPBACK)
    for _ in range(2):
        async with listening(settings):

            async def answers() -> bool:
                return bool((await scrape(port)).samples)

            await eventually_async(answers, what="metrics are shown", deadline_seconds=30)
