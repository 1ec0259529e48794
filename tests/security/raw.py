"""Requests as bytes, for what no client library would send."""

import asyncio


async def ask(port: int, request: bytes) -> bytes:
    """Send it; return all that comes back until the server closes or is silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        answer = b""
        async with asyncio.timeout(60):
            while part := await reader.read(65536):
                answer += part
        return answer
    finally:
        writer.transport.abort()
