"""An ASGI application that does nothing: it reads the body and answers 200.

What is left is uvicorn, the most that any Python application behind it can reach.
"""

from starlette.types import Receive, Scope, Send

BODY = b'{"success":true,"message":"Health report received for somebody"}'
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(BODY)).encode()),
    ],
}
END = {"type": "http.response.body", "body": BODY}


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer."""
    assert scope["type"] == "http"
    while (await receive()).get("more_body", False):
        pass
    await send(START)
    await send(END)
