"""The built dashboard is served beside the API, and never in its way."""

import gzip
import re
from pathlib import Path

import pytest

from support.running_api import running_api

HTML = {"Accept": "text/html,*/*"}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """What `vite build` leaves, in small."""
    (tmp_path / "index.html").write_text('<title>Defib</title><meta nonce="__CSP_NONCE__">')
    (tmp_path / "favicon.svg").write_text("<svg/>")
    (tmp_path / ".vite").mkdir()
    (tmp_path / ".vite" / "manifest.json").write_text("{}")
    assets = tmp_path / "assets"
    assets.mkdir()
    (assets / "index-4f2a.js").write_text("start()")
    (assets / "index-4f2a.js.gz").write_bytes(gzip.compress(b"start()"))
    return tmp_path


async def test_a_built_dashboard_is_served_at_the_root(database_url: str, built: Path) -> None:
    async with running_api(database_url, None, frontend_dir=built) as api:
        page = await api.http.get("/")
        assert page.status_code == 200
        assert page.text.startswith("<title>Defib</title>")
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["cache-control"] == "no-cache"
        assert (await api.report()).status_code == 200
        assert (await api.http.get("/api/status")).status_code == 401
        missing = await api.get("/api/nothing")
        assert (missing.status_code, missing.json()["success"]) == (404, False)
        outside = await api.http.get("/..%2f..%2fetc/passwd")
        assert outside.status_code == 404
        assert (await api.http.get("/.vite/manifest.json")).status_code == 404


async def test_its_policy_allows_nothing_inline_but_styles_with_this_answers_nonce(
    database_url: str, built: Path
) -> None:
    async with running_api(database_url, None, frontend_dir=built) as api:
        nonces = set()
        for _ in range(2):
            page = await api.http.get("/")
            policy = page.headers["content-security-policy"]
            (nonce,) = re.findall(r"'nonce-([\w-]+)'", policy)
            assert f'nonce="{nonce}"' in page.text
            assert "script-src 'self';" in policy
            assert "unsafe" not in policy
            nonces.add(nonce)
        assert len(nonces) == 2


async def test_a_link_into_the_page_is_answered_with_the_page(
    database_url: str, built: Path
) -> None:
    async with running_api(database_url, None, frontend_dir=built) as api:
        for address in ("/vm/vm_12", "/system", "/?health=down&vm=vm_3"):
            page = await api.http.get(address, headers=HTML)
            assert (page.status_code, page.text[:7]) == (200, "<title>"), address
        for address in ("/api/nothing", "/assets/gone-1234.js"):
            missing = await api.http.get(address, headers=HTML)
            assert missing.status_code == 404, address
        no_page = await api.http.get("/system", headers={"Accept": "application/json"})
        assert no_page.status_code == 404


async def test_hashed_files_are_kept_for_ever_and_sent_packed(
    database_url: str, built: Path
) -> None:
    async with running_api(database_url, None, frontend_dir=built) as api:
        script = await api.http.get("/assets/index-4f2a.js", headers={"Accept-Encoding": "gzip"})
        assert script.text == "start()"
        assert script.headers["content-encoding"] == "gzip"
        assert script.headers["content-type"].startswith("text/javascript")
        assert "immutable" in script.headers["cache-control"]
        plain = await api.http.get("/assets/index-4f2a.js", headers={"Accept-Encoding": "identity"})
        assert (plain.text, plain.headers.get("content-encoding")) == ("start()", None)
        icon = await api.http.get("/favicon.svg")
        assert icon.headers["cache-control"] == "no-cache"


async def test_without_a_dashboard_the_root_is_a_404_in_json(database_url: str) -> None:
    async with running_api(database_url, None) as api:
        answer = await api.http.get("/")
        assert (answer.status_code, answer.json()["success"]) == (404, False)
