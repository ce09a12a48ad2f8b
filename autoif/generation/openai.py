"""Any OpenAI-compatible chat endpoint, through the ``openai`` package.

Requests run concurrently on an event loop in a thread of its own. Errors fall in three classes:

* transient (429, 408, 409, 5xx, dropped connections, time-outs, truncated or empty replies): tried again with
  exponential back-off and jitter, after Retry-After where the server says so; never stored;
* the request's own (content filter, prompt longer than the context): a :class:`Failure`, stored like an answer;
* permanent (bad key, unknown model, wrong URL, malformed request): an ``EngineError`` that stops the run at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import random
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlparse

from autoif.config import OpenAISupervisor
from autoif.errors import EngineError
from autoif.generation.base import Answer, Completion, Failure, Request
from autoif.generation.scheduling import in_order
from autoif.records import digest

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 600.0
LOOPBACK = ("127.0.0.1", "::1", "localhost")

_CONTEXT = ("context_length_exceeded", "exceed_context_size", "context length", "context size", "context window")
_FILTER = ("content_filter", "content filter", "content management policy", "responsibleaipolicy")


def identity(config: OpenAISupervisor) -> str:
    """What answers: the model's name, not where it is served."""
    return f"openai:{config.model}"


def sample_seed(request: Request) -> int:
    """A 31-bit seed of its own for each sample of the same messages."""
    return int(digest(str(request.seed), str(request.index), size=8), 16) & 0x7FFFFFFF


class _Transient(Exception):
    """A reply worth asking for again; ``after``: seconds the server wants us to wait, if it said so."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


class OpenAIGenerator:
    """A streaming engine (see :mod:`autoif.generation.scheduling`) and a generator in its own right."""

    def __init__(self, config: OpenAISupervisor) -> None:
        self.identity = identity(config)
        self.concurrency = config.concurrency
        self._config = config
        self._key = _api_key(config)
        self._schemas = True
        self._length_field = "max_tokens"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: Any = None

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer ``requests`` in their order, at most ``concurrency`` at a time."""
        return in_order(self, requests)

    @contextmanager
    def session(self) -> Iterator[_Session]:
        """Requests in flight; what has not arrived at the end is cancelled."""
        session = _Session(self, self._start())
        try:
            yield session
        finally:
            session.cancel()

    def close(self) -> None:
        """Stop the loop and close the connections."""
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop = self._thread = self._client = None

    def _start(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._client = self._connect()
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="autoif-openai", daemon=True)
            self._thread.start()
        return self._loop

    def _connect(self) -> Any:
        import importlib.util

        import openai

        # aiohttp's transport carries about twice the requests per second; the package falls back to its own.
        fast = importlib.util.find_spec("aiohttp") is not None and hasattr(openai, "DefaultAioHttpClient")
        http_client = openai.DefaultAioHttpClient() if fast else openai.DefaultAsyncHttpxClient()
        return openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._config.base_url,
            timeout=self._config.timeout_seconds,
            max_retries=0,
            http_client=http_client,
        )

    async def answer(self, request: Request) -> Answer:
        """One answer, retries included. Raises EngineError when no retry helps."""
        tries = 0
        while True:
            try:
                return await self._ask(request)
            except _Transient as error:
                tries += 1
                if tries > self._config.retries:
                    raise EngineError(
                        f"{self._where()} did not answer after {tries} tries (last: {error}): "
                        "see to the server or raise supervisor.retries, then run again: answers so far are kept"
                    ) from None
                # Full jitter keeps many waiting requests from coming back at the same moment.
                wait = random.uniform(0.5, 1.0) * min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**tries)
                await asyncio.sleep(wait if error.after is None else error.after + random.uniform(0.0, 0.25))

    async def _ask(self, request: Request) -> Answer:
        import openai

        try:
            reply = await self._client.chat.completions.create(**self._body(request))
            return _read(reply)
        except openai.APIStatusError as error:
            return await self._refused(request, error)
        except openai.APIConnectionError as error:
            raise _Transient(self._unconnected(error)) from None
        except (openai.APIError, json.JSONDecodeError) as error:
            raise _Transient(f"unreadable reply: {type(error).__name__}") from None

    def _unconnected(self, error: Any) -> str:
        """Why no reply came. Transports differ in what they call a refused connection; the cause tells."""
        cause = error.__cause__ or error
        if "Timeout" in type(error).__name__ and "Connect" not in type(cause).__name__:
            return f"no answer in {self._config.timeout_seconds:g} s"
        return f"connection failed: {cause}"

    def _body(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self._config.model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sample_seed(request),
            self._length_field: sampling.max_tokens,
        }
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if request.json_schema is not None and self._schemas:
            schema = {"name": "answer", "schema": request.json_schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    async def _refused(self, request: Request, error: Any) -> Answer:
        """What an HTTP error status means."""
        status, text = error.status_code, _error_text(error)
        if status in (408, 409, 429) or status >= 500:
            if "insufficient_quota" in text:
                raise EngineError(f"{self._where()}: the account's quota is used up: top it up, then run again")
            raise _Transient(f"HTTP {status}", _retry_after(error.response.headers))
        low = text.lower()
        if any(sign in low for sign in _CONTEXT):
            return Failure(reason="context_length", detail=text[:200])
        if any(sign in low for sign in _FILTER):
            return Failure(reason="content_filter", detail=text[:200])
        if status in (400, 422):
            if request.json_schema is not None and self._schemas and _rejects_schema(low):
                self._schemas = False
                return await self._ask(request)
            if self._length_field == "max_tokens" and "max_completion_tokens" in low:
                self._length_field = "max_completion_tokens"
                return await self._ask(request)
        raise EngineError(self._permanent(status, text))

    def _permanent(self, status: int, text: str) -> str:
        name = self._config.api_key_env
        match status:
            case 401:
                return f"{self._where()} refused the key: set the environment variable {name} to a valid one"
            case 403:
                return f"{self._where()}: the key in {name} may not use model {self._config.model}"
            case 404:
                return (
                    f"{self._where()} knows no model {self._config.model}, or the URL is wrong "
                    "(it usually ends in /v1): check supervisor.model and supervisor.base_url"
                )
        text = text.replace(self._key, "***")[:300]
        return f"{self._where()} refused the request (HTTP {status}): {text}: check the supervisor's settings"

    def _where(self) -> str:
        return self._config.base_url or "the OpenAI API"


class _Session:
    """Requests of one ``generate`` call on the engine's loop."""

    def __init__(self, engine: OpenAIGenerator, loop: asyncio.AbstractEventLoop) -> None:
        self._engine, self._loop = engine, loop
        self._arrived: queue.SimpleQueue[tuple[str, Answer | BaseException]] = queue.SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None

    def submit(self, key: str, request: Request) -> None:
        """Send a request; returns at once."""
        self._loop.call_soon_threadsafe(self._spawn, key, request)

    def collect(self) -> list[tuple[str, Answer]]:
        """All answers that have arrived, at least one. An error is raised once the answers before it are out."""
        if self._error is not None:
            raise self._error
        answers: list[tuple[str, Answer]] = []
        while self._error is None and not (answers and self._arrived.empty()):
            key, answer = self._arrived.get()
            if isinstance(answer, BaseException):
                self._error = answer
            else:
                answers.append((key, answer))
        if not answers and self._error is not None:
            raise self._error
        return answers

    def cancel(self) -> None:
        """Give up what is in flight."""
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in list(self._tasks)])

    def _spawn(self, key: str, request: Request) -> None:
        task = self._loop.create_task(self._run(key, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, key: str, request: Request) -> None:
        try:
            self._arrived.put((key, await self._engine.answer(request)))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._arrived.put((key, error))


def _api_key(config: OpenAISupervisor) -> str:
    key = os.environ.get(config.api_key_env, "")
    if key:
        return key
    if config.base_url and urlparse(config.base_url).hostname in LOOPBACK:
        return "unused"
    raise EngineError(
        f"no key for {config.base_url or 'the OpenAI API'}: set the environment variable {config.api_key_env}, "
        "or name another in supervisor.api_key_env"
    )


def _read(reply: Any) -> Answer:
    """A chat completion as an answer. Raises _Transient when there is none in it."""
    choices = getattr(reply, "choices", None)
    if not choices or choices[0].message is None:
        raise _Transient("reply without choices")
    choice, usage = choices[0], getattr(reply, "usage", None)
    if choice.finish_reason == "content_filter":
        return Failure(reason="content_filter")
    if choice.message.content is None and getattr(choice.message, "refusal", None):
        return Failure(reason="refusal", detail=str(choice.message.refusal)[:200])
    return Completion(
        text=choice.message.content or "",
        finish="length" if choice.finish_reason == "length" else "stop",
        prompt_tokens=getattr(usage, "prompt_tokens", 0) or 0,
        completion_tokens=getattr(usage, "completion_tokens", 0) or 0,
    )


def _error_text(error: Any) -> str:
    """Message, code and type of a server's error, on one line."""
    body = error.body if isinstance(error.body, dict) else {}
    parts = [str(body.get("message") or error.message), str(body.get("code") or ""), str(body.get("type") or "")]
    return " ".join(" ".join(parts).split())


def _rejects_schema(text: str) -> bool:
    return any(sign in text for sign in ("response_format", "json_schema", "schema", "grammar", "guided"))


def _retry_after(headers: Any) -> float | None:
    """Seconds to wait, from Retry-After (seconds or HTTP date) or retry-after-ms; None where the server is silent."""
    import email.utils
    import time

    try:
        if value := headers.get("retry-after-ms"):
            seconds = float(value) / 1000
        elif not (value := headers.get("retry-after")):
            return None
        elif value.replace(".", "", 1).isdigit():
            seconds = float(value)
        else:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)
