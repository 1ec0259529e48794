"""The API, asked from outside as a load balancer does."""

import asyncio
import json
import ssl
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from defib_cli.doctor.finding import Finding, Part

API = Part("api")
SECONDS = 5.0
ADVICE = "look at the API's log; the pod stays unready until it is mended"


async def examine_api(url: str | None, ca_file: Path | None) -> list[Finding]:
    """Ask /readyz as a load balancer does."""
    if url is None:
        advice = "set DEFIB_API_URL to the address that agents use"
        return [API.warn("ready", "not looked at: its address is not known here", advice)]
    return await asyncio.to_thread(_ask, url.rstrip("/"), ca_file)


def _ask(url: str, ca_file: Path | None) -> list[Finding]:
    if not url.startswith(("http://", "https://")):
        return [
            API.fail("ready", f"{url} is no address", "one looks like https://defib.example.com")
        ]
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        with urlopen(f"{url}/readyz", timeout=SECONDS, context=context) as answer:  # noqa: S310 - http(s) only, checked above
            told = json.loads(answer.read())
    except HTTPError as error:
        return [API.fail("ready", f"{error.code}: {_missing(error)}", ADVICE)]
    except URLError as error:
        return [API.fail("ready", f"{url}: {error.reason}", "does it run, and is it the address?")]
    except (OSError, HTTPException, ValueError) as error:
        return [API.fail("ready", f"{url}: {error}", "is it Defib's address?")]
    if not isinstance(told, dict) or told.get("ready") is not True:
        return [API.fail("ready", f"{url} is not Defib's API", "is it the right address?")]
    return [API.ok("ready", f"{url} is ready to store reports")]


def _missing(error: HTTPError) -> str:
    with error:
        text = error.read(4096).decode(errors="replace")
    try:
        checks = json.loads(text)["checks"].items()
        ill = [(name, one) for name, one in checks if one["status"] == "down"]
        return "; ".join(f"{name}: {one.get('message') or one['status']}" for name, one in ill)
    except (ValueError, KeyError, TypeError, AttributeError):
        return text[:200]
