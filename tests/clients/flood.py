"""Floods a registry with wrong passwords from hundreds of addresses of this machine: of one user that exists, and of many that do not.

Ends on SIGTERM or after a while, whichever is first, and prints one JSON object: how many answers of each kind it had. It takes
little of the machine itself: it keeps its connections, and yields to everything else.

Usage: flood.py HOST:PORT CA USER
"""

import asyncio
import base64
import collections
import json
import os
import signal
import ssl
import sys
import time

HOST, PORT = sys.argv[1].rsplit(":", 1)
CA, VICTIM = sys.argv[2:]
ADDRESSES = 400
RATE = 300  # attempts a second, of all together
SECONDS = 40
PATHS = ["/v2/", "/auth/token?service=test"]


class Flood:
    """What was sent, and what came back."""

    def __init__(self) -> None:
        self.sent = 0
        self.answers: collections.Counter[str] = collections.Counter()
        self.sources: set[str] = set()
        self.connections = 0
        self.tls = ssl.create_default_context(cafile=CA)

    async def attack(self, number: int) -> None:
        """Sends wrong passwords from one address, one after the other."""
        source = f"127.{10 + number // 200}.{number % 200 + 1}.7"
        streams = None
        await asyncio.sleep(number / RATE)
        while True:
            began = time.monotonic()
            try:
                if streams is None:
                    streams = await asyncio.open_connection(
                        HOST, int(PORT), ssl=self.tls, local_addr=(source, 0), ssl_handshake_timeout=SECONDS
                    )
                    self.connections += 1
                if not await self.attempt(*streams):
                    streams[1].close()
                    streams = None
                self.sources.add(source)
            except (OSError, asyncio.IncompleteReadError):
                self.answers["no answer"] += 1
                streams = None
            await asyncio.sleep(max(0.0, began + ADDRESSES / RATE - time.monotonic()))

    async def attempt(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One wrong password; whether the connection is still good."""
        self.sent += 1
        user = VICTIM if self.sent % 3 == 0 else f"user-{self.sent}"
        login = base64.b64encode(f"{user}:wrong {self.sent}".encode()).decode()
        path = PATHS[self.sent % len(PATHS)]
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}:{PORT}\r\nAuthorization: Basic {login}\r\n\r\n".encode())
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        await reader.readexactly(int(headers.get("content-length", "0")))
        wait = headers.get("retry-after")
        self.answers[status.split()[1] + ("" if wait is None else f" retry after {wait}")] += 1
        return headers.get("connection", "").lower() != "close"


async def main() -> None:
    """Floods until it is told to stop."""
    flood, stop = Flood(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    began = time.monotonic()
    tasks = [asyncio.create_task(flood.attack(number)) for number in range(ADDRESSES)]
    try:
        await asyncio.wait_for(stop.wait(), SECONDS)
    except asyncio.TimeoutError:
        pass
    seconds = time.monotonic() - began
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    figures = {"seconds": round(seconds, 1), "sent": flood.sent, "sources": len(flood.sources), "connections": flood.connections}
    print(json.dumps({**figures, "answers": dict(sorted(flood.answers.items()))}), flush=True)


if __name__ == "__main__":
    os.nice(19)
    asyncio.run(main())
