"""What a relay shows to Prometheus."""

from pathlib import Path

import httpx
import uvicorn
from pydantic import SecretStr

from defib_core.config.settings import RelaySettings
from defib_dev.components.ports import free_port
from defib_relay.main import create, server_config
from support.relay_process import new_relay
from support.running_api import SEED_REPORT, running_api
from support.scrape import scrape
from support.serving import served
from support.waiting import eventually_async


async def test_a_relay_shows_what_it_keeps_and_what_it_forwarded(
    database_url: str, tmp_path: Path
) -> None:
    token, port = await new_relay(database_url), free_port()
    async with running_api(database_url, None) as api:
        settings = RelaySettings(
            api_url=f"http://127.0.0.1:{api.port}",
            relay_token=SecretStr(token),
            relay_folder=tmp_path / "spool",
            relay_host="127.0.0.1",
            metrics_host="127.0.0.1",
            metrics_port=port,
        )
        _, app = create(settings)
        server = uvicorn.Server(server_config(app, settings, loop="asyncio"))
        async with (
            served(server) as relay_port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{relay_port}", timeout=30) as http,
        ):
            answer = await http.post(
                "/api/health/report", json=SEED_REPORT, headers={"X-API-Key": api.agent_key}
            )
            assert answer.status_code == 200

            async def forwarded() -> bool:
                found = await scrape(port)
                return found.value("defib_relay_forwarded_total") == 1

            await eventually_async(forwarded, what="it is forwarded", deadline_seconds=60)
            found = await scrape(port)
            assert found.value("defib_relay_waiting") == 0
            assert found.value("defib_relay_lost_total") == 0
            assert found.value("defib_relay_api_up") == 1
            assert found.value("defib_relay_disk_up") == 1
            assert found.value("defib_build_info", process="relay") == 1
