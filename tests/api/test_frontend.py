"""The built dashboard is served beside the API, and never in its way."""

from pathlib import Path

from support.running_api import running_api


async def test_a_built_dashboard_is_served_at_the_root(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<title>Defib</title>")
    async with running_api(database_url, None, frontend_dir=tmp_path) as api:
        page = await api.http.get("/")
        assert (page.status_code, page.text) == (200, "<title>Defib</title>")
        assert page.headers["x-content-type-options"] == "nosniff"
        assert (await api.report()).status_code == 200
        assert (await api.http.get("/api/status")).status_code == 401
        missing = await api.get("/api/nothing")
        assert (missing.status_code, missing.json()["success"]) == (404, False)
        outside = await api.http.get("/..%2f..%2fetc/passwd")
        assert outside.status_code == 404


async def test_without_a_dashboard_the_root_is_a_404_in_json(database_url: str) -> None:
    async with running_api(database_url, None) as api:
        answer = await api.http.get("/")
        assert (answer.status_code, answer.json()["success"]) == (404, False)
