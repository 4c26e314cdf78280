"""Open event streams on one process: memory for each, and how soon a rollback has been told to the last of them."""

import asyncio
import resource
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx

from bench.measuring import databases, processes, rollouts
from bench.measuring.figures import Figure
from bench.measuring.rounds import Effort
from core.service.service import RolloutService
from core.store.database.connections import connect

STREAMS = 5_000
KEPT_FOR_OTHERS = 200  # of the open files that a process may have
GOAL_SECONDS = 0.2
GOAL_KILOBYTES = 50.0
OPEN_AT_ONCE = 100


def measure(effort: Effort) -> Iterator[Figure]:
    """As many streams as the machine lets one process open, up to `STREAMS`; the readers share it with the server."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    count = min(effort.some(STREAMS), most - KEPT_FOR_OTHERS)
    with databases.folder() as folder:
        url = databases.sqlite(folder)
        with connect(url) as database:
            rollouts.begin(RolloutService(database))
        with processes.rampart("serve", url) as server:
            before = server.megabytes
            told = asyncio.run(_listen_through_a_rollback(server, count))
            kilobytes = (told.megabytes - before) * 1000 / count
    yield Figure(
        name=f"event streams, {count:,} open: memory of each",
        ours=kilobytes,
        unit="kB",
        goal=GOAL_KILOBYTES,
        better="less",
    )
    for name, share in (("median", 0.5), ("95 %", 0.95), ("last", 1.0)):
        yield Figure(
            name=f"event streams, {count:,} open: rollback's answer to its event, {name}",
            ours=told.delays[max(0, int(len(told.delays) * share) - 1)],
            unit="s",
            goal=GOAL_SECONDS if name == "95 %" else None,
            better="less",
        )


class _Told:
    """When each stream was told, in seconds after the rollback was answered, and the server's memory before."""

    def __init__(self, delays: list[float], megabytes: float) -> None:
        self.delays, self.megabytes = sorted(delays), megabytes


async def _listen_through_a_rollback(server: processes.Running, count: int) -> _Told:
    address = urlsplit(server.url)
    assert address.hostname is not None
    assert address.port is not None
    gate = asyncio.Semaphore(OPEN_AT_ONCE)

    async def open_stream(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with gate:
            reader, writer = await asyncio.open_connection(host, port, limit=2**12)
            writer.write(b"GET /api/v1/changes HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            await reader.readuntil(b"refetchEvaluation")
            return reader, writer

    streams = await asyncio.gather(*(open_stream(address.hostname, address.port) for _ in range(count)))
    megabytes = server.megabytes

    async def wait_for_event(reader: asyncio.StreamReader) -> float:
        await reader.readuntil(b"refetchEvaluation")
        return time.monotonic()

    waiting = [asyncio.create_task(wait_for_event(reader)) for reader, _ in streams]
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as client:
        path = "/api/v1/rollouts/R-1/commands"
        answer = await client.post(path, json={"command": "rollback", "reason": "measured"})
        answered = time.monotonic()
        answer.raise_for_status()
    told = await asyncio.gather(*waiting)
    for _, writer in streams:
        writer.close()
    return _Told([max(0.0, at - answered) for at in told], megabytes)
