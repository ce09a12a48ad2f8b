"""Several samples of one conversation in one request: the prompt is paid once, and nothing depends on how many."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Reply, chat, choices, error

from autoif.config import OpenAISupervisor
from autoif.generation.base import Completion, Failure, Request, Sampling, user
from autoif.generation.cache import CachedGenerator, CallCache
from autoif.generation.openai import OpenAIGenerator
from autoif.generation.openai_replies import read

SAMPLED = Sampling(temperature=0.8)


def samples(text: str, count: int, sampling: Sampling = SAMPLED) -> list[Request]:
    return [Request(messages=user(text), sampling=sampling, index=index) for index in range(count)]


def several(body: dict[str, Any]) -> Reply:
    """As many choices as are asked for, told apart by seed and number."""
    return choices(
        body, [f"{body['messages'][0]['content']} {body['seed']}/{number}" for number in range(body.get("n", 1))]
    )


def ask(server: ChatServer, requests: list[Request], cache: Path | None = None, **settings: Any) -> list[Any]:
    config = OpenAISupervisor(
        model="m", base_url=server.url, **{"samples_per_request": 4, "concurrency": 16, **settings}
    )
    engine: Any = OpenAIGenerator(config)
    if cache is not None:
        engine = CachedGenerator(engine, CallCache(cache))
    try:
        return list(engine.generate(requests))
    finally:
        engine.close()


def test_siblings_share_requests_and_each_gets_its_own_answer() -> None:
    with ChatServer(several) as server:
        answers = ask(server, [*samples("a", 6), *samples("b", 4)])
    assert sorted((body["messages"][0]["content"], body.get("n", 1)) for body in server.bodies) == [
        ("a", 2),
        ("a", 4),
        ("b", 4),
    ]
    assert len({answer.text for answer in answers}) == 10
    assert [answer.text[-1] for answer in answers] == ["0", "1", "2", "3", "0", "1", "0", "1", "2", "3"]


def test_tokens_of_a_shared_request_are_counted_once() -> None:
    with ChatServer(several) as server:
        answers = ask(server, samples("a", 4))
    assert [answer.prompt_tokens for answer in answers] == [7, 0, 0, 0]
    assert sum(answer.completion_tokens for answer in answers) == 3
    with ChatServer(lambda body: choices(body, ["x" * 97, "x"], completion_tokens=100)) as server:
        assert [answer.completion_tokens for answer in ask(server, samples("a", 2))] == [98, 2]


def test_choices_are_told_apart_by_their_index_whatever_their_order() -> None:
    reply = json.dumps({"choices": [{"index": n, "message": {"content": str(n)}} for n in (2, 0, 1)]})
    assert [answer.text for answer in read(reply.encode(), 3) if isinstance(answer, Completion)] == ["0", "1", "2"]


def test_a_changed_number_finds_all_answers_again(tmp_path: Path) -> None:
    with ChatServer(several) as server:
        first = ask(server, samples("a", 6), tmp_path / "c.sqlite", samples_per_request=4)
        assert len(server.bodies) == 2
        second = ask(server, samples("a", 9), tmp_path / "c.sqlite", samples_per_request=1)
    assert second[:6] == first
    assert len(server.bodies) == 5
    assert len({answer.text for answer in second}) == 9


@pytest.mark.parametrize(
    "refusal",
    [
        lambda body: error(400, "Only one completion choice is allowed"),
        lambda body: error(422, "n: input should be less than or equal to 1"),
        lambda body: chat(body, text=str(body["seed"])),
    ],
    ids=["refused", "invalid", "ignored"],
)
def test_a_server_that_gives_one_at_a_time_is_asked_so_from_then_on(refusal: Any) -> None:
    def handler(body: dict[str, Any]) -> Reply:
        return refusal(body) if body.get("n", 1) > 1 else chat(body, text=str(body["seed"]))

    with ChatServer(handler) as server:
        answers = ask(server, [*samples("a", 4), *samples("b", 4)], concurrency=4)
    assert len({answer.text for answer in answers}) == 4, "each sample has its own seed"
    assert [answer.text for answer in answers[:4]] == [answer.text for answer in answers[4:]]
    assert sum("n" in body for body in server.bodies) == 1
    assert server.answered.total() == 8


def test_what_is_not_drawn_at_random_is_asked_for_singly() -> None:
    with ChatServer(several) as server:
        ask(server, samples("a", 3, Sampling(temperature=0.0)))
    assert [body.get("n", 1) for body in server.bodies] == [1, 1, 1]


def test_one_choice_may_fail_alone() -> None:
    def handler(body: dict[str, Any]) -> Reply:
        return choices(body, ["fine", "", "fine too"], finish=["stop", "content_filter", "length"])

    with ChatServer(handler) as server:
        one, two, three = ask(server, samples("a", 3))
    assert (one.text, two, three.finish) == ("fine", Failure(reason="content_filter"), "length")


def test_under_faults_shared_requests_are_answered_exactly_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoif.generation.openai.FIRST_WAIT_SECONDS", 0.01)
    with ChatServer(several, faults=0.1) as server:
        answers = ask(server, [request for n in range(60) for request in samples(f"q{n}", 4)], retries=20)
    assert len(answers) == 240
    assert set(server.answered.values()) == {1}
