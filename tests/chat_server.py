"""A real OpenAI-compatible HTTP server on loopback that can misbehave, for tests and benchmarks.

It answers chats with the SHA-256 of the last message, so a test can tell a right answer from a misplaced one, and any
GET (a health check) with 200. It counts what it was asked and what it answered whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

Reply = tuple[int, dict[str, str], bytes]


def reply_to(text: str) -> str:
    """What the server answers to a conversation that ends in ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def chat(body: dict[str, Any], *, text: str | None = None, finish: str = "stop") -> Reply:
    """A proper chat completion."""
    return choices(body, [reply_to(body["messages"][-1]["content"]) if text is None else text], finish=[finish])


def choices(
    body: dict[str, Any], texts: Sequence[str], *, finish: Sequence[str] = (), completion_tokens: int = 3
) -> Reply:
    """A chat completion of several choices."""
    made = [
        {
            "index": n,
            "message": {"role": "assistant", "content": text},
            "finish_reason": finish[n] if finish else "stop",
        }
        for n, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 7, "completion_tokens": completion_tokens, "total_tokens": 7 + completion_tokens}
    head = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"]}
    return _json(200, {**head, "choices": made, "usage": usage})


def error(status: int, message: str, code: str = "", headers: dict[str, str] | None = None) -> Reply:
    """An error body as OpenAI writes it."""
    head, kind, body = _json(status, {"error": {"message": message, "code": code, "type": "error"}})
    return head, {**kind, **(headers or {})}, body


def _json(status: int, value: Any) -> Reply:
    return status, {"content-type": "application/json"}, json.dumps(value).encode()


class ChatServer:
    """Use as a context manager; ``url`` ends in /v1.

    ``handler`` makes the reply from the request's body; ``faults`` is the share of requests that each of five faults
    befalls: 429 with Retry-After, 500, a hung-up connection, a slow answer, truncated JSON.
    """

    def __init__(
        self,
        handler: Callable[[dict[str, Any]], Reply] = chat,
        *,
        faults: float = 0.0,
        seconds: float = 0.0,
        seed: int = 0,
        port: int = 0,
    ) -> None:
        self._port = port
        self._handler, self._faults, self._seconds = handler, faults, seconds
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.asked: Counter[str] = Counter()
        """Last message → requests that came in."""
        self.answered: Counter[str] = Counter()
        """Last message → whole answers that went out."""
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.url = ""

    def __enter__(self) -> ChatServer:
        self._thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", self._port, backlog=1024)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(timeout=5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if head.startswith("GET "):
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    continue
                length = next(int(x[15:]) for x in head.split("\r\n") if x.lower().startswith("content-length:"))
                body = json.loads(await reader.readexactly(length))
                if not await self._answer(head, body, writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _answer(self, head: str, body: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        text = body["messages"][-1]["content"]
        self.asked[text] += 1
        if len(self.bodies) < 1000:
            self.bodies.append(body)
            self.headers.append(head)
        fault = int(self._random.random() / self._faults) if self._faults else 9
        if self._seconds or fault == 3:
            await asyncio.sleep(self._seconds + (0.2 if fault == 3 else 0.0))
        if fault == 2:
            return False
        if fault == 0:
            status, headers, data = error(429, "slow down", headers={"retry-after": "0.01"})
        elif fault == 1:
            status, headers, data = error(500, "oops")
        else:
            status, headers, data = self._handler(body)
        if fault == 4:
            data = data[: len(data) // 2]
        elif status == 200:
            self.answered[text] += 1
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write(("\r\n".join([*lines, f"content-length: {len(data)}"]) + "\r\n\r\n").encode() + data)
        await writer.drain()
        return True
