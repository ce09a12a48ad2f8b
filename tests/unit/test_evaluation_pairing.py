"""Two models on the same items: by type of instruction, what is left out, what makes a comparison doubtful."""

from __future__ import annotations

import msgspec

from autoif.records import EvaluationItem
from evaluation.pairing import by_label, comparisons, render, unpaired


def item(id, *followed, seed=0, **changes):
    made = EvaluationItem(
        id=id,
        benchmark="ifeval",
        model="m",
        prompt=f"prompt {id}",
        response="r",
        scores={"prompt": float(all(followed))},
        parts={"inst": tuple(map(float, followed))},
        labels=("length", "case")[: len(followed)],
        seed=seed,
    )
    return msgspec.structs.replace(made, **changes)


OLD = [item("1", True, False), item("2", False, False), item("3", True)]
NEW = [item("1", True, True), item("2", False, True), item("3", False), item("4", True)]


def test_types_are_counted_on_the_items_that_both_answered():
    found = by_label(OLD, NEW, "inst", "ifeval")
    assert {label: (row.n, row.before, row.after, row.gained, row.lost) for label, row in found.items()} == {
        "case": (2, 0.0, 2.0, ["1", "2"], []),
        "length": (3, 2.0, 1.0, [], ["3"]),
    }


def test_a_metric_of_the_item_counts_under_each_of_its_types():
    found = by_label(OLD, NEW, "prompt", "ifeval")
    assert (found["case"].n, found["case"].gained) == (2, ["1"])


def test_seeds_are_paired_in_their_order():
    old, new = [item("1", False, seed=0), item("1", True, seed=1)], [item("1", True, seed=7), item("1", True, seed=8)]
    (row,) = by_label(old, new, "inst", "ifeval").values()
    assert (row.n, row.before, row.after) == (2, 1.0, 2.0)


def test_the_comparison_names_both_runs_and_the_flipped_items():
    found = {row.metric: row for row in comparisons(OLD, NEW, ("before", "after"))}
    assert (found["prompt"].baseline, found["prompt"].candidate, found["prompt"].n) == ("before", "after", 3)
    assert (found["prompt"].gained, found["prompt"].lost) == (("1",), ("3",))
    text = render(list(found.values()), OLD, NEW)
    assert "ifeval: after minus before" in text
    assert "gained in prompt: 1" in text
    assert "by type, inst:" in text


def test_what_is_not_paired_or_doubtful_is_said():
    other = [item("1", True, prompt="other words", judge="a"), item("2", True, judge="b")]
    assert unpaired(OLD, other) == [
        "1 items of the first run alone are left out, ifeval 3 among them",
        "1 items were asked in other words, ifeval 1 among them",
        "judged by different judges, so differences may be theirs: a, b",
    ]
    assert unpaired(OLD, OLD) == []
