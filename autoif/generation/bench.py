"""What our side of a call costs: requests per second against a loopback server that answers at once.

``python -m autoif.generation.bench [--json]`` runs a bare loop over the ``openai`` package's client and our engine
(retries, order, accounting, cache) side by side, the server in a process of its own, alternating rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
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


def measure(count: int, concurrency: int, rounds: int) -> dict[str, Any]:
    """Requests per second of both sides (median over ``rounds``), their ratio, and memory in MiB.

    ``memory``: the process's peak after the first of our rounds and after the last: flat means near equal.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    sides: dict[str, Callable[[str, int, int, str], float]] = {"bare": _bare, "ours": _ours}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    memory: list[float] = []
    try:
        for name, side in sides.items():
            side(url, min(count, 2 * concurrency), concurrency, f"warm up {name}")
        for number in range(rounds):
            for name, side in sides.items():
                rates[name].append(side(url, count, concurrency, f"{name} {number}"))
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    finally:
        server.terminate()
        server.join()
    medians = {name: round(statistics.median(values), 1) for name, values in rates.items()}
    return {
        "requests": count,
        "concurrency": concurrency,
        "rounds": rounds,
        "requests_per_second": medians,
        "ours_over_bare": round(medians["ours"] / medians["bare"], 3),
        "memory": {"first": round(memory[0], 1), "last": round(memory[-1], 1)},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m autoif.generation.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=4000, help="in each round (default: 4000)")
    parser.add_argument("--concurrency", type=int, default=256, help="in flight at once (default: 256)")
    parser.add_argument("--rounds", type=int, default=3, help="of each side (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    found = measure(options.requests, options.concurrency, options.rounds)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        rate, memory = found["requests_per_second"], found["memory"]
        print(f"bare openai client  {rate['bare']:8.1f} requests/s")
        print(f"ours                {rate['ours']:8.1f} requests/s  ({found['ours_over_bare']:.2f} x)")
        print(f"peak memory         {memory['first']:8.1f} MiB, {memory['last']:.1f} MiB after the last round")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
