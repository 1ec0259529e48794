"""Every error of the dashboard's API as `{"success": false, "message": ...}`; never a bare 422."""

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg import Error as DriverError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from defib_api.keys import KeysUnknown
from defib_core.store.failures import explain, is_away, is_unstorable

log = structlog.get_logger(__name__)

BAD_REQUEST = 400
AWAY_SECONDS = "5"
AWAY = "the database cannot be reached now; what is shown may be old, and nothing can be changed"
BY_STATUS = {
    404: "there is nothing at this address; the API is described at /api/openapi.json",
    405: "this address does not know that method",
}


class ApiError(Exception):
    """An expected failure, with the words for the reader; `more` are further fields of the body."""

    def __init__(
        self, status: int, message: str, *, headers: dict[str, str] | None = None, **more: object
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers
        self.more = more


def install(app: FastAPI) -> None:
    """Give the application its error handlers."""
    app.add_exception_handler(ApiError, _expected)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(KeysUnknown, _away)
    for kind in (SQLAlchemyError, DriverError, OSError):
        app.add_exception_handler(kind, _database)


def refused_field(field: str, message: str) -> ApiError:
    """Refuse a request for a field that only shows itself wrong beside what the database says."""
    found = [{"field": field, "message": message}]
    return ApiError(400, f"the request was refused: {field} {message}", errors=found)


def body_of(message: str, **more: object) -> dict[str, object]:
    """Build the body every failure has."""
    return {"success": False, "message": message, **more}


def unexpected(request_id: str) -> JSONResponse:
    """Answer an error nobody foresaw; the log has it under the same number."""
    message = f"an error on our side; request {request_id} in the API's log says more"
    return JSONResponse(body_of(message, requestId=request_id), 500)


async def _expected(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return JSONResponse(body_of(error.message, **error.more), error.status, error.headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    if request.method in {"POST", "PUT"} and not _says_json(request):
        message = "send JSON, with the header Content-Type: application/json"
        return JSONResponse(body_of(message), 415)
    found = [_field_error(one["loc"], one["msg"]) for one in error.errors()]
    message = "the request was refused: " + "; ".join(f"{f['field']} {f['message']}" for f in found)
    return JSONResponse(body_of(message, errors=found), 400)


def _says_json(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("application/json")


def _field_error(where: tuple[str | int, ...], message: str) -> dict[str, str]:
    # The first part says "body", "query" or "path"; a position inside broken JSON is no field.
    parts = [str(part) for part in where[1:] if isinstance(part, str)]
    return {"field": ".".join(parts) or "body", "message": message[:1].lower() + message[1:]}


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == BAD_REQUEST:
        return _unreadable("cannot be read: send JSON in UTF-8")
    message = BY_STATUS.get(error.status_code, error.detail)
    return JSONResponse(body_of(message), error.status_code, error.headers)


def _unreadable(why: str) -> JSONResponse:
    found = [{"field": "body", "message": why}]
    return JSONResponse(body_of(f"the request was refused: body {why}", errors=found), 400)


async def _away(_: Request, __: Exception) -> JSONResponse:
    return JSONResponse(body_of(AWAY), 503, {"Retry-After": AWAY_SECONDS})


async def _database(request: Request, error: Exception) -> JSONResponse:
    if is_away(error):
        log.warning("request.database_away", path=request.url.path, error=explain(error))
        return await _away(request, error)
    if is_unstorable(error):
        return _unreadable("holds a character that no text can hold, such as NUL")
    log.error("request.failed", path=request.url.path, exc_info=error)
    return unexpected(request.state.request_id)
