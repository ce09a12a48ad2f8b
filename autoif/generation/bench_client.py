"""What our side of a call costs: requests per second against a loopback server that answers at once.

A bare loop over the ``openai`` package's client and our engine (retries, order, accounting, cache) run side by side in
alternating rounds, the server in a process of its own. See :mod:`autoif.generation.bench` for the command.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from autoif.config import OpenAISupervisor
from autoif.generation.base import Request, Sampling, user
from autoif.generation.cache import CachedGenerator, CallCache
from autoif.generation.openai import OpenAIGenerator

_ANSWER = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "answer " * 20}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 50, "completion_tokens": 20, "total_tokens": 70},
    }
).encode()
_REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_ANSWER) + _ANSWER


class _AtOnce(asyncio.Protocol):
    """As little HTTP as a client needs: every whole request gets the same answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].lower()
            start = head.index(b"content-length:") + 15
            size = end + 4 + int(head[start:].split(b"\r\n", 1)[0])
            if len(self._data) < size:
                return
            self._data = self._data[size:]
            self._transport.write(_REPLY)


def _serve(ready: Connection) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(_AtOnce, "127.0.0.1", 0, backlog=4096)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def _requests(count: int, tag: str) -> Iterator[Request]:
    text = "Write a short answer that follows the instruction. " * 8
    for number in range(count):
        yield Request(messages=user(f"{tag} {number}: {text}"), sampling=Sampling(temperature=0.8, max_tokens=256))


def _bare(url: str, count: int, concurrency: int, tag: str) -> float:
    """Requests per second of a plain loop over the package's client, its defaults untouched."""
    import openai

    async def main() -> float:
        client = openai.AsyncOpenAI(base_url=url, api_key="none")
        source = _requests(count, tag)

        async def worker() -> None:
            for request in source:
                await client.chat.completions.create(
                    model="m",
                    messages=[{"role": "user", "content": request.messages[0].content}],
                    temperature=request.sampling.temperature,
                    max_tokens=request.sampling.max_tokens,
                )

        began = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(concurrency)))
        seconds = time.perf_counter() - began
        await client.close()
        return count / seconds

    return asyncio.run(main())


def _ours(url: str, count: int, concurrency: int, tag: str) -> float:
    """Requests per second of our engine behind a cold call cache."""
    with tempfile.TemporaryDirectory() as folder:
        engine = OpenAIGenerator(OpenAISupervisor(model="m", base_url=url, concurrency=concurrency))
        generator = CachedGenerator(engine, CallCache(Path(folder) / "calls.sqlite"), run="bench")
        began = time.perf_counter()
        answered = sum(1 for _ in generator.generate(_requests(count, tag)))
        seconds = time.perf_counter() - began
        generator.close()
    if answered != count:
        raise RuntimeError(f"{count} requests, {answered} answers")
    return count / seconds


@contextmanager
def _server() -> Iterator[str]:
    """The URL of a server that answers at once, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1"
    finally:
        server.terminate()
        server.join()


def measure(count: int, concurrency: int, rounds: int) -> dict[str, Any]:
    """Requests per second of both sides (median over ``rounds``), their ratio, and memory in MiB.

    ``memory``: the process's peak after the first of our rounds and after the last: flat means near equal.
    """
    sides: dict[str, Callable[[str, int, int, str], float]] = {"bare": _bare, "ours": _ours}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    peaks: list[float] = []
    with _server() as url:
        for name, side in sides.items():
            side(url, min(count, 2 * concurrency), concurrency, f"warm up {name}")
        for number in range(rounds):
            for name, side in sides.items():
                rates[name].append(side(url, count, concurrency, f"{name} {number}"))
                print(f"round {number + 1}: {name} {rates[name][-1]:.1f} requests/s", file=sys.stderr, flush=True)
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    medians = {name: round(statistics.median(values), 1) for name, values in rates.items()}
    return {
        "requests": count,
        "concurrency": concurrency,
        "rounds": rounds,
        "requests_per_second": medians,
        "ours_over_bare": round(medians["ours"] / medians["bare"], 3),
        "memory": {"first": round(peaks[0], 1), "last": round(peaks[-1], 1)},
    }


def memory(count: int, concurrency: int, parts: int = 10) -> list[tuple[int, float]]:
    """Resident memory in MiB after each tenth (1 / ``parts``) of ``count`` requests of one ``generate`` call."""
    found = []
    with _server() as url, tempfile.TemporaryDirectory() as folder:
        engine = OpenAIGenerator(OpenAISupervisor(model="m", base_url=url, concurrency=concurrency))
        generator = CachedGenerator(engine, CallCache(Path(folder) / "calls.sqlite"), run="bench")
        for number, _ in enumerate(generator.generate(_requests(count, "memory")), 1):
            if number % max(1, count // parts) == 0:
                found.append((number, round(_resident(), 1)))
        generator.close()
    return found


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
