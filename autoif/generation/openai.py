"""Any OpenAI-compatible chat endpoint, or several of one model, through the ``openai`` package.

Requests run concurrently on an event loop in a thread of its own; several samples of one conversation may share one
(``n``). Errors fall in three classes:

* transient (429, 408, 409, 5xx, dropped connections, time-outs, truncated or empty replies): tried again with
  exponential back-off and jitter, after Retry-After where the server says so; never stored;
* the request's own (content filter, prompt longer than the context): a :class:`Failure`, stored like an answer;
* permanent (bad key, unknown model, wrong URL, malformed request): an ``EngineError`` that stops the run at once.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlparse

from autoif.config import OpenAISupervisor
from autoif.errors import EngineError
from autoif.generation.base import Answer, Completion, Request
from autoif.generation.openai_connection import Connection
from autoif.generation.openai_replies import (
    Transient,
    error_text,
    own_failure,
    read,
    rejects_schema,
    request_body,
    retry_after,
)
from autoif.generation.openai_session import OpenAISession
from autoif.generation.scheduling import in_order
from autoif.generation.servers import Pace, Server, least_busy

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 60.0
LOOPBACK = ("127.0.0.1", "::1", "localhost")
CHARACTERS_PER_TOKEN = 4
"""For pacing a request before its tokens are counted."""


def identity(config: OpenAISupervisor) -> str:
    """What answers: the model's name, not where it is served."""
    return f"openai:{config.model}"


class OpenAIGenerator:
    """A streaming engine (see :mod:`autoif.generation.scheduling`) and a generator in its own right.

    ``retried``: requests that were sent again so far.
    """

    def __init__(self, config: OpenAISupervisor) -> None:
        self.identity = identity(config)
        self.concurrency = config.concurrency
        self.retried = 0
        self.samples = config.samples_per_request
        """Samples of one conversation asked for at once; 1 from when a server shows that it gives no more."""
        self._config = config
        urls = ([config.base_url] if config.base_url else []) + config.base_urls
        self._urls: list[str | None] = [*dict.fromkeys(urls)] or [None]
        self._key = _api_key(config, self._urls)
        self._schemas = True
        self._length_field = "max_tokens"
        self._servers: list[Server] = []
        self._requests, self._tokens = Pace(config.requests_per_minute), Pace(config.tokens_per_minute)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer ``requests`` in their order, at most ``concurrency`` at a time."""
        return in_order(self, requests)

    @contextmanager
    def session(self) -> Iterator[OpenAISession]:
        """Requests in flight; what has not arrived at the end is cancelled."""
        session = OpenAISession(self, self._start())
        try:
            yield session
        finally:
            session.cancel()

    def close(self) -> None:
        """Stop the loop and close the connections."""
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()
        self._loop, self._thread, self._servers = None, None, []

    async def _finish(self) -> None:
        asking = asyncio.all_tasks() - {asyncio.current_task()}
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        for server in self._servers:
            await server.connection.close()

    def _start(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            timeout = self._config.timeout_seconds
            self._servers = [Server(url, Connection(url, self._key, timeout)) for url in self._urls]
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="autoif-openai", daemon=True)
            self._thread.start()
        return self._loop

    async def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Answers to samples of one conversation, retries included: those of the first few, at least one.

        Raises:
            EngineError: when no retry helps.
        """
        tries = 0
        while True:
            server = least_busy(self._servers)
            try:
                answers = await self._paced(server, requests)
                self.samples = min(self.samples, len(answers)) if len(answers) < len(requests) else self.samples
                return answers
            except Transient as error:
                tries += 1
                if tries > self._config.retries:
                    raise EngineError(
                        f"{server.name} did not answer after {tries} tries (last: {error}): "
                        "see to the server or raise supervisor.retries, then run again: answers so far are kept"
                    ) from None
                self.retried += 1
                # Jitter keeps many waiting requests from coming back at the same moment.
                wait = random.uniform(0.5, 1.0) * min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**tries)
                if error.after is not None:
                    wait = error.after + random.uniform(0.0, 0.25) * min(1.0, error.after)
                server.rest(wait)
                # Another server of the model need not wait for this one.
                await asyncio.sleep(wait / len(self._servers))

    async def _paced(self, server: Server, requests: Sequence[Request]) -> list[Answer]:
        """Ask once, within the limits per minute."""
        guess = sum(len(message.content) for message in requests[0].messages) / CHARACTERS_PER_TOKEN
        guess += requests[0].sampling.max_tokens * len(requests)
        await self._requests.take(1)
        await self._tokens.take(guess)
        server.flying += 1
        try:
            answers = await self._ask(server, requests)
        finally:
            server.flying -= 1
        completions = [answer for answer in answers if isinstance(answer, Completion)]
        if spent := sum(answer.completion_tokens for answer in completions):
            self._tokens.give_back(guess - spent - sum(answer.prompt_tokens for answer in completions))
        return answers

    async def _ask(self, server: Server, requests: Sequence[Request]) -> list[Answer]:
        schema, length_field = self._schemas, self._length_field
        body = request_body(requests, self._config.model, schema=schema, length_field=length_field)
        status, headers, content = await server.connection.post(body)
        if status < 300:
            return read(content, len(requests))
        text = error_text(content)
        if status in (408, 409, 429) or status >= 500:
            if "insufficient_quota" in text:
                raise EngineError(f"{server.name}: the account's quota is used up: top it up, run again")
            raise Transient(f"HTTP {status}", retry_after(headers))
        if failure := own_failure(text):
            return [failure] * len(requests)
        if status in (400, 422) and "response_format" in body and rejects_schema(text):
            self._schemas = False
            return await self._ask(server, requests)
        if status in (400, 422) and length_field == "max_tokens" and "max_completion_tokens" in text:
            self._length_field = "max_completion_tokens"
            return await self._ask(server, requests)
        if status in (400, 422) and len(requests) > 1:
            return await self._ask(server, requests[:1])
        raise EngineError(self._permanent(server, status, text))

    def _permanent(self, server: Server, status: int, text: str) -> str:
        name = self._config.api_key_env
        match status:
            case 401:
                return f"{server.name} refused the key: set the environment variable {name} to a valid one"
            case 403:
                return f"{server.name}: the key in {name} may not use model {self._config.model}"
            case 404:
                return (
                    f"{server.name} knows no model {self._config.model}, or the URL is wrong "
                    "(it usually ends in /v1): check supervisor.model and supervisor.base_url"
                )
        text = text.replace(self._key, "***")[:300]
        return f"{server.name} refused the request (HTTP {status}): {text}: check the supervisor's settings"


def _api_key(config: OpenAISupervisor, urls: list[str | None]) -> str:
    """The key from the environment; servers on this machine need none."""
    if key := os.environ.get(config.api_key_env, ""):
        return key
    foreign = next((url for url in urls if not url or urlparse(url).hostname not in LOOPBACK), "")
    if foreign == "":
        return "unused"
    raise EngineError(
        f"no key for {foreign or 'the OpenAI API'}: set the environment variable {config.api_key_env}, "
        "or name another in supervisor.api_key_env"
    )
