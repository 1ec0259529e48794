"""The agents' installers, the agents themselves, and the commands that fetch them.

The scripts ask for no key: they hold none, unless the request brought an enrolment token itself.
"""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from defib_api import agent_files, examples
from defib_api.agent_files import Address, AgentFilesMissing
from defib_api.documented import documented
from defib_api.errors import ApiError
from defib_api.install_texts import install_texts
from defib_api.routes.found import ServicesOf
from defib_api.schemas.install import Install
from defib_api.services import Services

router = APIRouter(prefix="/api", tags=["Agents"])
scripts = APIRouter(include_in_schema=False)

TEXT = "text/plain; charset=utf-8"
NO_STORE = {"Cache-Control": "no-store"}
Installer = Callable[[Address, str | None], str]
Token = Annotated[str | None, Header(alias="X-Enrolment-Token")]


@router.get(
    "/install",
    operation_id="getInstall",
    summary="How to install an agent",
    responses=documented(examples.INSTALL, 401, 503),
)
async def get_install(services: ServicesOf, request: Request) -> Install:
    """Texts to copy: one line for Linux, one for Windows, a cloud-config and a playbook."""
    try:
        return install_texts(_address(services, request))
    except AgentFilesMissing as error:
        raise _missing(error) from error


@scripts.get("/install.sh")
async def get_linux_installer(
    services: ServicesOf, request: Request, token: Token = None
) -> Response:
    """The installer for Linux."""
    return _filled(agent_files.linux_installer, services, request, token)


@scripts.get("/install.ps1")
async def get_windows_installer(
    services: ServicesOf, request: Request, token: Token = None
) -> Response:
    """The installer for Windows."""
    return _filled(agent_files.windows_installer, services, request, token)


@scripts.get("/agent/{name}")
async def get_agent(name: str) -> Response:
    """An agent, or with `.sha256` behind its name the line that `sha256sum --check` reads."""
    wanted = name.removesuffix(".sha256")
    if wanted not in agent_files.FILES:
        raise ApiError(404, f"there is no agent {name[:40]!r}; known: {_known()}")
    path = agent_files.FILES[wanted]
    try:
        if name != wanted:
            return Response(f"{agent_files.sha256_of(path)}  {wanted}\n", media_type=TEXT)
        return Response(agent_files.text_of(path), media_type=TEXT)
    except AgentFilesMissing as error:
        raise _missing(error) from error


def _filled(
    installer: Installer, services: Services, request: Request, token: str | None
) -> Response:
    address = _address(services, request)
    try:
        return Response(installer(address, token), media_type=TEXT, headers=NO_STORE)
    except ValueError as error:
        raise ApiError(400, str(error)) from error
    except AgentFilesMissing as error:
        raise _missing(error) from error


def _address(services: Services, request: Request) -> Address:
    """The address that is configured, else the one that was asked."""
    configured = services.settings.public_url
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
    asked = f"{scheme}://{request.headers.get('host', '')}"
    try:
        return Address((configured or asked).rstrip("/"))
    except ValueError as error:
        raise ApiError(400, f"{error}; set DEFIB_PUBLIC_URL") from error


def _missing(error: AgentFilesMissing) -> ApiError:
    return ApiError(404, f"this server has no agents to hand out: {error}")


def _known() -> str:
    return ", ".join(agent_files.FILES)
