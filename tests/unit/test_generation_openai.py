"""OpenAI-compatible servers, for real over loopback HTTP: ordinary faults are mended, permanent ones stop at once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Reply, chat, error, reply_to

from autoif.config import OpenAISupervisor
from autoif.errors import EngineError
from autoif.generation import openai as engine
from autoif.generation.base import Completion, Failure, Request, Sampling, user
from autoif.generation.cache import CachedGenerator, CallCache
from autoif.generation.openai import OpenAIGenerator

SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def generator(server: ChatServer, **settings: Any) -> OpenAIGenerator:
    return OpenAIGenerator(OpenAISupervisor(model="m", base_url=server.url, **{"concurrency": 8, **settings}))


def ask(text: str, **fields: Any) -> Request:
    return Request(messages=user(text), sampling=fields.pop("sampling", Sampling()), **fields)


def once(server: ChatServer, request: Request, **settings: Any) -> Completion | Failure:
    asking = generator(server, **settings)
    try:
        return next(iter(asking.generate([request])))
    finally:
        asking.close()


def failing_first(times: int, reply: Reply) -> Any:
    left = [times]

    def handler(body: dict[str, Any]) -> Reply:
        left[0] -= 1
        return reply if left[0] >= 0 else chat(body)

    return handler


def test_what_is_sent_is_what_the_request_says() -> None:
    sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=33, stop=("END",))
    requests = [ask("q", sampling=sampling, index=index, seed=5, json_schema=SCHEMA) for index in (0, 1)]
    with ChatServer() as server:
        asking = generator(server)
        answers = list(asking.generate(requests))
        asking.close()
    assert answers == [Completion(text=reply_to("q"), prompt_tokens=7, completion_tokens=3)] * 2
    body = server.bodies[0]
    assert body["messages"] == [{"role": "user", "content": "q"}]
    assert (body["model"], body["temperature"], body["top_p"], body["max_tokens"]) == ("m", 0.7, 0.9, 33)
    assert body["stop"] == ["END"]
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert len({body["seed"] for body in server.bodies}) == 2, "samples of one prompt must differ"


@pytest.mark.parametrize(
    "reply",
    [
        error(429, "slow down", headers={"retry-after": "0.01"}),
        error(500, "oops"),
        error(503, "overloaded"),
        (200, {"content-type": "application/json"}, b'{"choices": [{"mess'),
        (200, {"content-type": "application/json"}, b'{"choices": []}'),
        (200, {"content-type": "text/html"}, b"<html>a proxy's page</html>"),
    ],
    ids=["429", "500", "503", "truncated", "empty", "html"],
)
def test_a_passing_fault_is_asked_again(reply: Reply) -> None:
    with ChatServer(failing_first(2, reply)) as server:
        answer = once(server, ask("q"))
    assert isinstance(answer, Completion)
    assert answer.text == reply_to("q")
    assert server.asked["q"] == 3


def test_a_server_that_never_answers_properly_is_named_with_what_is_wrong() -> None:
    empty = (200, {"content-type": "application/json"}, b'{"choices": []}')
    with (
        ChatServer(lambda body: empty) as server,
        pytest.raises(EngineError, match=r"without choices.*see to the server"),
    ):
        once(server, ask("q"), retries=2)
    assert server.asked["q"] == 3


def test_retry_after_is_honoured() -> None:
    with ChatServer(failing_first(1, error(429, "slow down", headers={"retry-after": "1"}))) as server:
        started = time.monotonic()
        once(server, ask("q"))
    assert time.monotonic() - started >= 1.0


def test_a_server_that_hangs_is_given_up_on_and_named() -> None:
    with ChatServer(seconds=5.0) as server, pytest.raises(EngineError, match=r"127\.0\.0\.1.*2 tries.*no answer in"):
        once(server, ask("q"), timeout_seconds=0.2, retries=1)


def test_no_server_is_an_error_with_the_address() -> None:
    config = OpenAISupervisor(model="m", base_url="http://127.0.0.1:9/v1", retries=1)
    asking = OpenAIGenerator(config)
    with pytest.raises(EngineError, match=r"http://127\.0\.0\.1:9/v1.*connection failed"):
        list(asking.generate([ask("q")]))
    asking.close()


def test_without_aiohttp_the_packages_own_transport_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoif.generation.openai_connection.importlib.util.find_spec", lambda name: None)
    with ChatServer(failing_first(1, error(500, "oops"))) as server:
        answer = once(server, ask("q"))
        gone = server.url
    assert isinstance(answer, Completion)
    assert answer.text == reply_to("q")
    asking = OpenAIGenerator(OpenAISupervisor(model="m", base_url=gone, retries=1))
    with pytest.raises(EngineError, match="connection failed"):
        list(asking.generate([ask("q")]))
    asking.close()


@pytest.mark.parametrize(
    "reply, says",
    [
        (error(401, "Incorrect API key provided"), "AUTOIF_TEST_KEY"),
        (error(403, "not allowed"), "AUTOIF_TEST_KEY"),
        (error(404, "The model does not exist", "model_not_found"), "supervisor.model"),
        (error(400, "temperature must be at most 1; you sent secret-123"), "temperature"),
        (error(429, "You exceeded your current quota", "insufficient_quota"), "quota"),
    ],
    ids=["key", "rights", "model", "settings", "quota"],
)
def test_a_permanent_error_stops_at_once(reply: Reply, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOIF_TEST_KEY", "secret-123")
    with ChatServer(lambda body: reply) as server, pytest.raises(EngineError, match=says) as caught:
        once(server, ask("q"), api_key_env="AUTOIF_TEST_KEY")
    assert server.asked["q"] == 1
    assert "secret-123" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "reply, reason",
    [
        (error(400, "maximum context length is 10 tokens", "context_length_exceeded"), "context_length"),
        (error(400, "the request exceeds the available context size"), "context_length"),
        (error(400, "blocked by our content management policy", "content_filter"), "content_filter"),
        (chat({"messages": [{"content": ""}], "model": "m"}, text="", finish="content_filter"), "content_filter"),
    ],
    ids=["context", "llama.cpp context", "filter status", "filter finish"],
)
def test_what_cannot_be_answered_is_a_failure_and_is_kept(reply: Reply, reason: str, tmp_path: Path) -> None:
    with ChatServer(lambda body: reply) as server:
        for _ in range(2):
            caching = CachedGenerator(generator(server), CallCache(tmp_path / "c.sqlite"))
            (answer,) = caching.generate([ask("q")])
            caching.close()
            assert isinstance(answer, Failure)
            assert answer.reason == reason
    assert server.asked["q"] == 1


def test_a_server_without_structured_output_is_asked_plainly_from_then_on() -> None:
    def handler(body: dict[str, Any]) -> Reply:
        return error(400, "response_format is not supported") if "response_format" in body else chat(body)

    with ChatServer(handler) as server:
        asking = generator(server, concurrency=1)
        answers = list(asking.generate([ask(str(n), json_schema=SCHEMA) for n in range(3)]))
        asking.close()
    assert [a.text for a in answers if isinstance(a, Completion)] == [reply_to(str(n)) for n in range(3)]
    assert [("response_format" in body) for body in server.bodies] == [True, False, False, False]


def test_a_model_that_wants_max_completion_tokens_gets_it() -> None:
    def handler(body: dict[str, Any]) -> Reply:
        return error(400, "Use max_completion_tokens instead") if "max_tokens" in body else chat(body)

    with ChatServer(handler) as server:
        once(server, ask("q", sampling=Sampling(max_tokens=9)))
    assert server.bodies[-1]["max_completion_tokens"] == 9


def test_the_key_goes_to_the_server_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key-of-the-test")
    with ChatServer() as server:
        caching = CachedGenerator(generator(server), CallCache(tmp_path / "c.sqlite"))
        list(caching.generate([ask("q")]))
        caching.close()
    assert "authorization: bearer secret-key-of-the-test\r\n" in server.headers[0].lower()
    assert "content-type: application/json\r\n" in server.headers[0].lower()
    assert all(b"secret-key-of-the-test" not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_key_is_needed_off_this_machine_only() -> None:
    with pytest.raises(EngineError, match="OPENAI_API_KEY"):
        OpenAIGenerator(OpenAISupervisor(model="m"))
    OpenAIGenerator(OpenAISupervisor(model="m", base_url="http://127.0.0.1:1/v1"))


def test_several_servers_share_the_work_and_one_that_dies_is_passed_by() -> None:
    with ChatServer() as gone:
        dead = gone.url
    with ChatServer(seconds=0.01) as one, ChatServer(seconds=0.01) as two:
        asking = generator(one, base_urls=[two.url, dead], retries=3)
        answers = list(asking.generate(ask(str(n)) for n in range(60)))
        asking.close()
    assert [a.text for a in answers if isinstance(a, Completion)] == [reply_to(str(n)) for n in range(60)]
    assert min(sum(one.asked.values()), sum(two.asked.values())) >= 15
    assert sum((one.asked + two.asked).values()) == 60


@pytest.mark.parametrize("limit, most", [("requests_per_minute", 600), ("tokens_per_minute", 6000)])
def test_limits_per_minute_are_kept(limit: str, most: int) -> None:
    with ChatServer() as server:
        asking = generator(server, **{limit: most})
        list(asking.generate([ask("warm up")]))
        started = time.monotonic()
        # Ten requests a second, or 100 tokens a second at ten tokens an answer, and a second's slack.
        list(asking.generate(ask(str(n), sampling=Sampling(max_tokens=10)) for n in range(25)))
        seconds = time.monotonic() - started
        asking.close()
    assert seconds >= 1.2
    assert server.asked.total() == 26


def load(count: int, tmp_path: Path, concurrency: int = 64) -> ChatServer:
    """``count`` requests against a server with a tenth of each fault; every answer is checked. Returns the server."""
    requests = [ask(f"q{number}", index=number % 3) for number in range(count)]
    with ChatServer(faults=0.1) as server:
        asking = generator(server, concurrency=concurrency, retries=20, timeout_seconds=20.0)
        caching = CachedGenerator(asking, CallCache(tmp_path / "c.sqlite"))
        answers = list(caching.generate(iter(requests)))
        caching.close()
    texts = [answer.text for answer in answers if isinstance(answer, Completion)]
    assert texts == [reply_to(f"q{number}") for number in range(count)]
    assert set(server.answered.values()) == {1}, "an answered request was asked again"
    assert len(server.answered) == count
    assert sum(server.asked.values()) > count, "no fault befell anyone"
    return server


def test_under_faults_every_request_is_answered_exactly_once(tmp_path: Path) -> None:
    load(500, tmp_path)


@pytest.mark.slow
def test_under_faults_five_thousand_requests_are_answered_exactly_once(tmp_path: Path) -> None:
    load(5000, tmp_path)


CLIENT = """
import sys
from pathlib import Path
from autoif.config import OpenAISupervisor
from autoif.generation import openai
from autoif.generation.base import *
from autoif.generation.cache import CachedGenerator, CallCache
from autoif.generation.openai import OpenAIGenerator
url, path, count, concurrency = sys.argv[1:]
openai.FIRST_WAIT_SECONDS = 0.01
config = OpenAISupervisor(model="m", base_url=url, concurrency=int(concurrency), retries=30)
generator = CachedGenerator(OpenAIGenerator(config), CallCache(Path(path)))
requests = (Request(messages=user(f"q{n}"), sampling=Sampling()) for n in range(int(count)))
for n, answer in enumerate(generator.generate(requests)):
    print(answer.text, flush=True)
generator.close()
"""


def client(server: ChatServer, path: Path, count: int, concurrency: int = 8) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CLIENT, server.url, str(path), str(count), str(concurrency)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def read(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        yield line.strip()


def test_after_kill_9_only_what_was_in_flight_is_asked_again(tmp_path: Path) -> None:
    with ChatServer(seconds=0.02) as server:
        with client(server, tmp_path / "c.sqlite", 120) as killed:
            for number, _ in enumerate(read(killed)):
                if number == 40:
                    killed.kill()
        with client(server, tmp_path / "c.sqlite", 120) as resumed:
            answers = list(read(resumed))
    assert answers == [reply_to(f"q{number}") for number in range(120)]
    twice = [text for text, count in server.asked.items() if count > 1]
    assert len(twice) <= 8
    assert max(server.asked.values()) <= 2


@pytest.mark.slow
def test_under_faults_and_kills_five_thousand_requests_repeat_only_what_was_in_flight(tmp_path: Path) -> None:
    count, concurrency, kills = 5000, 64, (400, 1700, 3600)
    with ChatServer(faults=0.1) as server:
        for last in kills:
            with client(server, tmp_path / "c.sqlite", count, concurrency) as killed:
                for number, _ in enumerate(read(killed)):
                    if number == last:
                        killed.kill()
        with client(server, tmp_path / "c.sqlite", count, concurrency) as resumed:
            answers = list(read(resumed))
    assert answers == [reply_to(f"q{number}") for number in range(count)]
    repeated = sum(times - 1 for times in server.answered.values())
    print(f"{repeated} of {count} requests were answered again after {len(kills)} kills at concurrency {concurrency}")
    assert repeated <= len(kills) * concurrency
    assert len(server.answered) == count
