"""Serves variants of one photo from many hosts of 127.0.0.0/8: `webserver.py PHOTO PORT HOST...`.

Each host has a latency of its own; `HOST!` accepts connections and never answers. `/ok` is a photo,
`/requests` the number of requests so far, all else, such as robots.txt, is not there (404). All
hosts share one port.
"""

import asyncio
import contextlib
import random
import sys
from pathlib import Path

LATENCY = (-2.3, 0.7)  # of a lognormal distribution, in seconds: median 0.1


async def serve(photo: bytes, hosts: list[str], port: int) -> None:
    """Serve until the process is ended."""
    requests = 0

    def answer(path: str) -> tuple[str, bytes]:
        if path == "/requests":
            return "200 OK", str(requests).encode()
        if not path.startswith("/ok"):
            return "404 Not Found", b"gone"
        comment = b"\xff\xfe" + (len(path) + 2).to_bytes(2) + path.encode()  # ITU-T T.81, B.2.4.5
        return "200 OK", photo[:2] + comment + photo[2:]

    async def connection(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float
    ) -> None:
        nonlocal requests
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode()
                requests += path != "/requests"
                await asyncio.sleep(delay)
                status, body = answer(path)
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
                writer.write(body)
                await writer.drain()
        writer.close()

    for host in hosts:
        delay = min(0.5, random.Random(host).lognormvariate(*LATENCY))
        delay = 3600 if host.endswith("!") else delay
        name = host.removesuffix("!")
        await asyncio.start_server(lambda r, w, d=delay: connection(r, w, d), name, port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]).read_bytes(), sys.argv[3:], int(sys.argv[2])))
