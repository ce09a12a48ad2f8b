"""Which rows go into which step, and at which learning rate."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoif.training.plan import Plan, learning_rate_factor, micro_batch_rows, warmup_steps


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40),
    global_batch=st.integers(1, 12),
    micro=st.integers(1, 5),
    world=st.integers(1, 3),
    seed=st.integers(0, 3),
)
def test_every_epoch_holds_each_row_once_in_steps_of_equal_shape(
    lengths: list[int], global_batch: int, micro: int, world: int, seed: int
) -> None:
    plan = Plan(lengths, global_batch=global_batch, micro_batch=micro, world=world, epochs=2, seed=seed)
    steps = list(plan)
    assert len(steps) == plan.steps
    for epoch in (0, 1):
        seen = [i for step in steps if step.epoch == epoch for i in step.indices]
        assert sorted(seen) == list(range(len(lengths)))
    for step in steps:
        assert len(step.micro) == plan.accumulation
        assert all(len(ranks) == world and len(part) <= micro for ranks in step.micro for part in ranks)


def test_a_plan_is_the_same_for_the_same_seed_and_shuffles_each_epoch_anew() -> None:
    def order(seed: int) -> list[tuple[int, ...]]:
        return [s.indices for s in Plan(range(1, 31), global_batch=8, micro_batch=2, world=1, epochs=2, seed=seed)]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1)[:4] != order(1)[4:]


def test_only_the_last_batch_of_an_epoch_is_incomplete() -> None:
    plan = Plan([5] * 10, global_batch=4, micro_batch=2, world=1, epochs=2, seed=0)
    assert [len(step.indices) for step in plan] == [4, 4, 2, 4, 4, 2]


def test_processes_get_about_as_many_tokens_each() -> None:
    lengths = [100, 10, 10, 10, 90, 20, 30, 30]
    plan = Plan(lengths, global_batch=8, micro_batch=4, world=2, epochs=1, seed=0)
    (step,) = plan
    loads = [sum(lengths[i] for i in part) for part in step.micro[0]]
    assert max(loads) - min(loads) <= 20


def test_warm_up_starts_above_zero_and_decay_ends_one_step_after_the_last() -> None:
    def rates(schedule: str) -> list[float]:
        return [learning_rate_factor(s, total=6, warmup=2, schedule=schedule) for s in range(6)]

    assert rates("linear") == pytest.approx([0.5, 1.0, 1.0, 0.75, 0.5, 0.25])
    assert rates("constant") == pytest.approx([0.5, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert rates("cosine")[2:] == pytest.approx([0.5 * (1 + math.cos(math.pi * k / 4)) for k in range(4)])


def test_warm_up_steps_win_over_the_ratio_and_never_fill_the_run() -> None:
    assert warmup_steps(20, 0.5, 100) == 20
    assert warmup_steps(None, 0.1, 25) == 3
    assert warmup_steps(20, 0.0, 5) == 4
    assert warmup_steps(None, 0.0, 1) == 0


@pytest.mark.parametrize(("answers", "rows"), [(1, 4), (2, 4), (3, 2), (8, 1), (16, 1)])
def test_a_micro_batch_of_groups_holds_no_more_answers_than_one_of_pairs_if_a_group_is_not_larger(
    answers: int, rows: int
) -> None:
    assert micro_batch_rows(4, answers) == rows
