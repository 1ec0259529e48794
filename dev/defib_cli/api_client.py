"""How the commands of people speak to the API: over HTTP, with the standard library alone.

The token comes from a file and goes into one header; it is never an argument and never printed.
Certificates are always verified, and redirects never followed: the token would go with them.
"""

import json
import os
import ssl
import sys
from dataclasses import dataclass
from http.client import HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, Request, build_opener

from defib_core.config.settings import ClientSettings

SECONDS = 30.0
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class ApiProblem(Exception):
    """The API did not do what was asked; the text is for the person who asked."""


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917 - the base class calls it so
        self,
        req: Request,  # noqa: ARG002 - same
        fp: IO[bytes],  # noqa: ARG002 - same
        code: int,  # noqa: ARG002 - same
        msg: str,  # noqa: ARG002 - same
        headers: HTTPMessage,  # noqa: ARG002 - same
        newurl: str,
    ) -> None:
        raise ApiProblem(f"the API's address leads on to {newurl}; give that one with --api")


@dataclass(frozen=True, slots=True)
class Where:
    """What the options say of the API; None where the environment is to say it."""

    api: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None


class ApiClient:
    """Asks one API as one person."""

    def __init__(self, url: str, token: str, opener: OpenerDirector) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._opener = opener

    def get(self, path: str, **query: object) -> Any:  # noqa: ANN401 - JSON
        """Read."""
        return self.call("GET", path, query=query)

    def call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        query: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        """Ask, and return the JSON of the answer; raise ApiProblem with what to do about it."""
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        address = f"{self._url}{path}" + (f"?{urlencode(given)}" if given else "")
        headers = {"Authorization": f"Bearer {self._token}", "X-Defib-Client": "cli"}
        headers["Cache-Control"] = "no-cache"  # a VM that has just reported is there
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        asked = Request(address, data, headers, method=method)  # noqa: S310 - checked in connect
        try:
            with self._opener.open(asked, timeout=SECONDS) as answer:
                return _json(answer)
        except HTTPError as error:
            raise ApiProblem(_refusal(error)) from error
        except URLError as error:
            raise ApiProblem(self._unreachable(error.reason)) from error
        except (OSError, TimeoutError) as error:
            raise ApiProblem(self._unreachable(error)) from error

    def _unreachable(self, why: object) -> str:
        if isinstance(why, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {self._url} is not trusted ({why.verify_message}); name its"
                " authority with --ca-file or DEFIB_API_CA_FILE"
            )
        text = why.strerror if isinstance(why, OSError) and why.strerror else str(why)
        return (
            f"cannot reach the API at {self._url}: {text}; is it the right address"
            " (--api or DEFIB_API_URL), and does it run?"
        )


def connect(where: Where) -> ApiClient:
    """Build a client from the options and the environment; raise ApiProblem for what is missing."""
    settings = ClientSettings.from_environment(os.environ)
    url = where.api or settings.api_url
    if url is None:
        raise ApiProblem("say where the API is: --api https://... or DEFIB_API_URL")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise ApiProblem(f"{url} is no address of an API; one looks like https://defib.example.com")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        print(f"defib: {url} is http: the token is sent in the clear", file=sys.stderr)
    token = _read_token(where.token_file or settings.token_file)
    return ApiClient(url, token, _opener(where.ca_file or settings.api_ca_file))


def _opener(ca_file: Path | None) -> OpenerDirector:
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ApiProblem(f"cannot read certificates from {ca_file}: {error}") from error
    return build_opener(_NoRedirect, HTTPSHandler(context=context))


def _read_token(file: Path | None) -> str:
    if file is None:
        raise ApiProblem(
            "say which file holds your token: --token-file FILE or DEFIB_TOKEN_FILE;"
            " `defib token create --kind admin` makes one"
        )
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ApiProblem(f"cannot read the token from {file}: {error}") from error
    if not token or not token.isascii() or not token.isprintable():
        raise ApiProblem(f"{file} does not hold a token; `defib token create` prints one")
    return token


def _json(answer: HTTPResponse) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(answer.read())
    except ValueError as error:
        raise ApiProblem("the answer is not Defib's; is it the right address?") from error


def _refusal(error: HTTPError) -> str:
    """Say in the API's own words why it refused."""
    with error:
        try:
            said = json.loads(error.read())
            message = str(said["message"])
        except (ValueError, KeyError, TypeError):
            return f"{error.code} from {error.url}, not in Defib's form; is it the right address?"
    reason = said.get("reason")
    return message if reason is None else f"{message} ({reason})"
