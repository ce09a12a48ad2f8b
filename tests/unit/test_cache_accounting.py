"""Accounting: every call is charged once to the stage that made it, kills included, and a budget stops a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chat_server import ChatServer

from autoif.config import BudgetConfig, OpenAISupervisor, PathsConfig, RecordedSupervisor, RunConfig
from autoif.errors import EngineError
from autoif.generation.accounting import Price, Usage, charged_to
from autoif.generation.base import Request, Sampling, user
from autoif.generation.cache import CallCache
from autoif.generation.factory import supervisor
from autoif.records import Query, Record
from autoif.stage import Context, Stage, run_stage
from autoif.store import Store


def ask(text: str) -> Request:
    return Request(messages=user(text), sampling=Sampling())


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


def config(server: ChatServer, folder: Path, **budget: float) -> RunConfig:
    """Each answer of the server takes 7 tokens in and 3 out: 7 + 6 = 13 units of money at these prices."""
    prices = {"input_price": 1e6, "output_price": 2e6}
    return RunConfig(
        name="run",
        supervisor=OpenAISupervisor(model="m", base_url=server.url, concurrency=2, **prices),
        paths=PathsConfig(cache=str(folder / "cache")),
        budget=BudgetConfig(**budget),
    )


def queries(context: Context) -> Iterator[Record]:
    for number in range(10):
        yield Query(id=str(number), text=f"q{number}", source="test")


def asking(context: Context, rows: Iterable[Query]) -> Iterator[Record]:
    rows = list(rows)
    answers = context.engines.supervisor.generate(ask(row.text) for row in rows)
    for row, _ in zip(rows, answers, strict=True):
        if row.text == context.config:
            raise KeyboardInterrupt
        yield row


def stages(stop_at: str = "") -> tuple[Stage, Stage]:
    first = Stage("queries", Query, queries)
    return first, Stage("ask", Query, asking, config=stop_at, inputs=(first,), chunk=2)


def run(stage: Stage, store: Store, settings: RunConfig) -> dict[str, Any]:
    engine = supervisor(settings)
    try:
        return run_stage(stage, store, SimpleNamespace(supervisor=engine)).facts  # type: ignore[arg-type]
    finally:
        engine.close()


def test_a_stages_manifest_says_what_it_asked_and_what_that_cost(server: ChatServer, tmp_path: Path) -> None:
    first, second = stages()
    store = Store(tmp_path / "store")
    settings = config(server, tmp_path)
    assert run(first, store, settings) == {}
    calls = run(second, store, settings)["calls"]
    assert (calls["asked"], calls["tokens_in"], calls["tokens_out"], calls["cost"]) == (10, 70, 30, 130)


def test_a_killed_and_resumed_stage_is_charged_once(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, settings = Store(tmp_path / "store"), config(server, tmp_path)
    first, second = stages()
    run(first, store, settings)
    # The same stage, so the same fingerprint, dies in its third chunk.
    dying = dataclasses.replace(second, function=lambda context, rows: asking(_stopping(context), rows))
    with pytest.raises(KeyboardInterrupt):
        run(dying, store, settings)
    calls = run(second, store, settings)["calls"]
    assert (calls["asked"], calls["tokens_in"], calls["cost"]) == (10, 70, 130)
    assert calls["cached"] > 0
    assert server.asked.total() == 10


def _stopping(context: Context) -> Context:
    return Context("q5", context.engines, context.files, context.work)


@pytest.mark.parametrize("budget", [{"max_tokens": 40}, {"max_cost": 50.0}], ids=["tokens", "cost"])
def test_a_budget_stops_and_a_higher_one_goes_on(server: ChatServer, tmp_path: Path, budget: dict[str, float]) -> None:
    store = Store(tmp_path / "store")
    first, second = stages()
    run(first, store, config(server, tmp_path))
    name = next(iter(budget))
    for _ in range(2):  # a restart does not get the budget anew
        with pytest.raises(EngineError, match=rf"budget\.{name}=.* is used up .*raise it"):
            run(second, store, config(server, tmp_path, **budget))
        # Four answers reach it; at most one more was in flight.
        assert 4 <= server.asked.total() <= 5
    assert run(second, store, config(server, tmp_path))["calls"]["asked"] == 10
    assert server.asked.total() == 10


def test_replayed_answers_are_counted_as_such(server: ChatServer, tmp_path: Path) -> None:
    settings = config(server, tmp_path)
    settings.supervisor.record = str(tmp_path / "r.jsonl")
    first, second = stages()
    store = Store(tmp_path / "store")
    run(first, store, settings)
    run(second, store, settings)
    replay = RunConfig(supervisor=RecordedSupervisor(path=str(tmp_path / "r.jsonl")))
    other = dataclasses.replace(second, seed=1)
    assert run(other, store, replay)["calls"] == {"replayed": 10, "used_in": 70, "used_out": 30}


def test_charges_are_kept_apart_by_run_and_account(tmp_path: Path, server: ChatServer) -> None:
    engine = supervisor(config(server, tmp_path))
    with charged_to("a", {}) as one:
        list(engine.generate([ask("1"), ask("2"), ask("1")]))
    with charged_to("b", {}) as two:
        list(engine.generate([ask("2"), ask("3")]))
    engine.close()
    assert (one.facts()["calls"]["asked"], one.facts()["calls"]["cached"]) == (2, 1)
    assert (two.facts()["calls"]["asked"], two.facts()["calls"]["cached"]) == (1, 1)
    cache = CallCache(tmp_path / "cache" / "calls.sqlite")
    assert cache.charged("run", None, "openai:m").misses == 3
    assert cache.charged("another run", None, "openai:m") == Usage()
    assert Price(input=1.0, output=2.0).of(cache.charged("run", None, "openai:m")) == pytest.approx(39e-6)
