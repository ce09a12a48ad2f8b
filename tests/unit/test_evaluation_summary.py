"""From items to results and comparisons."""

import pytest

from autoif.errors import DataError
from autoif.records import EvaluationItem
from evaluation.summary import collect, comparisons, results


def item(id, model, **values):
    parts = {name: value for name, value in values.items() if isinstance(value, tuple)}
    scores = {name: value for name, value in values.items() if not isinstance(value, tuple)}
    return EvaluationItem(id=str(id), benchmark="b", model=model, prompt="", response="", scores=scores, parts=parts)


def test_each_metric_and_model_has_one_result_with_its_interval():
    items = [
        item(i, model, followed=float(i < right), accuracy=i / 10)
        for model, right in (("base", 3), ("trained", 6))
        for i in range(10)
    ]
    found = {(r.metric, r.model): r for r in results(collect(items), [("b", "trained")])}
    assert list(found) == [("followed", "base"), ("followed", "trained"), ("accuracy", "base"), ("accuracy", "trained")]
    assert found["followed", "trained"].value == 0.6
    assert found["accuracy", "base"].value == pytest.approx(0.45)
    assert all(r.low < r.value < r.high and r.n == 10 for r in found.values())
    assert [r.sample for r in found.values()] == [False, True, False, True]


def test_parts_are_counted_not_items():
    items = [item(1, "base", inst=(1.0, 0.0, 1.0)), item(2, "base", inst=(1.0,))]
    (found,) = results(collect(items))
    assert (found.value, found.n) == (0.75, 4)


def test_comparison_pairs_items_by_id_and_names_those_that_flipped():
    base = [item(i, "base", followed=float(i in (1, 2))) for i in range(6)]
    trained = [item(i, "trained", followed=float(i in (2, 3, 4))) for i in (5, 4, 3, 2, 1)]
    (found,) = comparisons(collect(base + trained))
    assert (found.baseline, found.candidate, found.n, found.test) == ("base", "trained", 5, "mcnemar")
    assert (found.gained, found.lost) == (("3", "4"), ("1",))
    assert found.difference == pytest.approx(0.2)
    assert found.p_value == 1.0


def test_every_later_model_is_compared_with_the_first():
    items = [
        item(i, model, score=i * weight)
        for model, weight in (("base", 0.1), ("sft", 0.12), ("dpo", 0.15))
        for i in range(1, 6)
    ]
    found = list(comparisons(collect(items)))
    assert [(c.baseline, c.candidate, c.test) for c in found] == [
        ("base", "sft", "paired_bootstrap"),
        ("base", "dpo", "paired_bootstrap"),
    ]
    assert found[1].difference == pytest.approx(0.15)


def test_part_metrics_compare_by_parts():
    items = [
        item(1, "base", inst=(0.0, 1.0)),
        item(2, "base", inst=(1.0,)),
        item(1, "new", inst=(1.0, 1.0)),
        item(2, "new", inst=(0.0,)),
    ]
    (found,) = comparisons(collect(items))
    assert (found.difference, found.n, found.gained, found.lost) == (0.0, 3, ("1",), ("2",))


def test_models_without_common_items_are_not_compared():
    assert not list(comparisons(collect([item(1, "base", s=1.0), item(2, "new", s=1.0)])))


def test_an_item_that_comes_twice_is_refused():
    with pytest.raises(DataError, match="item 1 of base is there twice"):
        collect([item(1, "base", s=1.0), item(1, "base", s=0.0)])
