"""A plan's supervision: tokens and money by what is known, else by what is said to be assumed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autoif.border import load
from autoif.config import RespondConfig, RunConfig
from autoif.generation.accounting import Price, Usage, current
from autoif.pipeline import build
from autoif.planning.calls import Supervision, render_supervision, supervision
from autoif.planning.stages import plan
from autoif.planning.tokens import RECORD_TOKENS, call_tokens
from autoif.records import Answers, Prompt
from autoif.stage import Context, Stage, run_stage
from autoif.store import Store

TEXT = "x" * 400


def prompts(context: Context) -> Iterator[Prompt]:
    for number in range(3):
        text = "y" * 80
        yield Prompt(id=str(number), verifier_id="v", instruction=text, query=text, text=text, functions=())


def answers(context: Context, rows: Any) -> Iterator[Answers]:
    """Twenty answers of 100 tokens in and 30 out, as far as the account knows."""
    account = current()
    assert account is not None
    account.used_in, account.used_out = 2000, 600
    account.used["m"] = (Usage(misses=5, hits=15), Price())
    yield from ()


def stages(text: str = TEXT) -> tuple[Stage, Stage]:
    source = Stage("attach_queries", Prompt, prompts)
    config = RespondConfig(max_tokens=1000)
    return source, Stage("respond", Answers, answers, config=config, inputs=(source,), texts={"respond": text})


def test_what_is_not_known_is_assumed_and_said(tmp_path: Path) -> None:
    _, stage = stages()
    tokens = call_tokens(stage, Store(tmp_path))
    assert (tokens.given, tokens.taken, tokens.most_taken) == (100 + RECORD_TOKENS, 1000, 1000)
    assert str(RECORD_TOKENS) in tokens.source


def test_prompts_are_measured_once_their_records_are_there(tmp_path: Path) -> None:
    source, stage = stages()
    run_stage(source, Store(tmp_path), SimpleNamespace())  # type: ignore[arg-type]
    tokens = call_tokens(stage, Store(tmp_path))
    assert (tokens.given, tokens.taken) == (100 + 160 / 4, 1000)
    assert "prompts measured" in tokens.source


def test_finished_runs_with_the_same_prompt_tell_both(tmp_path: Path) -> None:
    for stage in stages():
        run_stage(stage, Store(tmp_path), SimpleNamespace())  # type: ignore[arg-type]
    tokens = call_tokens(stages()[1], Store(tmp_path))
    assert (tokens.given, tokens.taken, tokens.most_taken) == (100, 30, 1000)
    assert tokens.source == "as in finished runs"
    assert call_tokens(stages("another prompt")[1], Store(tmp_path)).source != tokens.source


def planned(tmp_path: Path, *overrides: str) -> tuple[RunConfig, list[Supervision]]:
    config = load([f"paths.store={tmp_path}/store", *overrides])
    made, store = build(config), Store(Path(config.paths.store))
    return config, supervision(config, made, plan(made, store), store)


def test_a_recording_costs_nothing(tmp_path: Path) -> None:
    assert planned(tmp_path)[1] == []


def test_money_follows_from_tokens_and_prices_and_a_budget_too_small_is_said(tmp_path: Path) -> None:
    prices = ("supervisor=openai", "supervisor.input_price=10", "supervisor.output_price=20", "budget.max_cost=0.5")
    config, found = planned(tmp_path, *prices)
    assert [row.title for row in found][:2] == ["self_instruct", "write_verifiers"]
    for row in found:
        assert row.cost == pytest.approx((10 * row.given + 20 * row.taken) / 1e6)
        assert row.most_taken == row.taken, "nothing is known of answers yet"
    text = render_supervision(config, found)
    assert f"~ {sum(row.cost for row in found):,.2f}" in text
    assert "budget.max_cost=0.5 would stop it" in text
    assert "prompts measured" in text, "the seeds are known"


def test_a_prompt_sent_once_for_several_samples_is_counted_once(tmp_path: Path) -> None:
    _, alone = planned(tmp_path, "supervisor=openai", "supervisor.samples_per_request=1")
    _, together = planned(tmp_path, "supervisor=openai", "supervisor.samples_per_request=4")
    given = {row.title: (row.given, two.given) for row, two in zip(alone, together, strict=True)}
    assert given["respond"][0] == pytest.approx(4 * given["respond"][1])
    assert given["score"][0] == given["score"][1]


def test_without_prices_tokens_stand_alone_and_the_settings_are_named(tmp_path: Path) -> None:
    text = render_supervision(*planned(tmp_path, "supervisor=openai"))
    assert "supervisor.input_price" in text
    assert "cost" not in text.splitlines()[0]
