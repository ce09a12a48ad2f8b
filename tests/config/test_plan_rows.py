"""The plan of synthetic graphs: what is done, bounds of what is not, and which setting made a stage miss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from synthetic import Settings, graph, run

from autoif.planning import PlanRow, plan, render
from autoif.stage import Estimate
from autoif.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_nothing_done_gives_upper_bounds_carried_through_the_graph(store: Store) -> None:
    assert plan(graph(), store) == [
        PlanRow("queries", False, 10),
        PlanRow("ask", False, 10, model_calls=20),
        PlanRow("judge", False, 10, executions=100),
    ]
    assert not store.root.exists()


def test_finished_stages_count_what_they_kept_and_bound_what_follows(store: Store) -> None:
    stages = graph()
    run(stages[:2], store)
    done, half, todo = plan(stages, store)
    assert (done.done, done.records, half.done, half.records) == (True, 10, True, 5)
    assert (todo.records, todo.executions, todo.differences) == (5, 50, None)


def test_all_done_costs_nothing(store: Store) -> None:
    run(graph(), store)
    rows = plan(graph(), store)
    assert all(row.done and not row.model_calls and not row.executions for row in rows)
    assert "all 3 stages are done" in render(rows)


def test_a_changed_setting_is_named_for_its_stage_and_for_those_behind_it(store: Store) -> None:
    run(graph(), store)
    rows = plan(graph(Settings(threshold=0.8)), store)
    assert [row.done for row in rows] == [True, False, False]
    assert rows[1].differences == rows[2].differences == ("ask.threshold 0.5 → 0.8",)


def test_what_is_not_part_of_a_result_makes_no_difference(store: Store) -> None:
    run(graph(), store)
    assert all(row.done for row in plan(graph(Settings(workers=8)), store))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"texts": {"prompt": "reply to this"}}, "ask: the text of prompt changed"),
        ({"engines": {"supervisor": "model-b"}}, "ask: supervisor model-a → model-b"),
        ({"engines": {"supervisor": "model-a", "judge": "x"}}, "ask: judge (none) → x"),
        ({"version": 2}, "ask: its code changed (version 1 to 2)"),
        ({"seed": 7}, "ask.seed null → 7"),
    ],
)
def test_other_reasons_are_said_in_words(store: Store, change: dict[str, Any], words: str) -> None:
    run(graph(), store)
    assert plan(graph(**change), store)[1].differences == (words,)


def test_the_nearest_of_several_finished_stages_is_compared(store: Store) -> None:
    run(graph(Settings(threshold=0.1, samples=9)), store)
    run(graph(Settings(threshold=0.2, samples=2)), store)
    row = plan(graph(Settings(threshold=0.3, samples=2)), store)[1]
    assert row.differences == ("ask.threshold 0.2 → 0.3",)


def test_an_unfinished_change_upstream_and_a_changed_setting_are_both_named(store: Store) -> None:
    run(graph(), store)
    rows = plan(graph(Settings(samples=4), Settings(threshold=0.9)), store)
    assert rows[2].differences == ("judge.threshold 0.5 → 0.9", "ask.samples 2 → 4")


def test_a_change_is_traced_through_finished_inputs(store: Store) -> None:
    run(graph(), store)
    run(graph(Settings(samples=4))[:2], store)
    rows = plan(graph(Settings(samples=4)), store)
    assert [row.done for row in rows] == [True, True, False]
    assert rows[2].differences == ("ask.samples 2 → 4",)


def test_an_input_whose_old_self_is_gone_is_named(store: Store) -> None:
    stages = graph()
    run(stages, store)
    (stages[1].entry(store).path / "manifest.json").unlink()
    assert plan(graph(Settings(samples=4)), store)[2].differences == ("ask was made anew",)


def test_another_input_in_the_same_place_is_named(store: Store) -> None:
    run(graph(), store)
    queries, ask, judge = graph()
    other = replace(queries, name="corpus")
    assert plan([queries, other, ask, replace(judge, inputs=(ask, other))], store)[3].differences == (
        "judge reads corpus in place of queries",
    )
    alone = replace(judge, inputs=(queries,), estimate=lambda count: Estimate(count))
    assert "judge had 2 inputs, now 1" in (plan([queries, alone], store)[1].differences or ())


def test_nested_settings_and_lists_are_compared_leaf_by_leaf(store: Store) -> None:
    run(graph(config=[Settings(), {"limits": {"seconds": 1.0, "labels": ["a"]}}]), store)
    rows = plan(graph(config=[Settings(), {"limits": {"seconds": 2.0, "labels": ["a"]}}]), store)
    assert rows[1].differences == ("ask.1.limits.seconds 1.0 → 2.0",)


def test_rendering_says_each_reason_once_and_sums_up(store: Store) -> None:
    run(graph(), store)
    text = render(plan(graph(Settings(threshold=0.8)), store))
    assert text.count("ask.threshold 0.5 → 0.8") == 1
    assert "ask, judge: ask.threshold" in text
    assert "2 of 3 stages to run" in text
    assert "≤ 20" in text
    assert "≤ 100" in text


def test_rendering_of_an_empty_store_says_so(store: Store) -> None:
    assert "Nothing like this was run in this store before." in render(plan(graph(), store))


def test_labels_are_shown_and_long_values_cut(store: Store) -> None:
    run(graph(), store)
    queries, ask, _ = graph(engines={"supervisor": "x" * 100})
    text = render(plan([queries, replace(ask, label="ask (round 1)")], store))
    assert "ask (round 1)" in text
    assert "x" * 47 + "…" in text
    assert "x" * 48 not in text
