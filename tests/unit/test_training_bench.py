"""The training bench: rows of the promised lengths, and a measurement that can be taken in pieces."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from autoif.records import PreferencePair, SftExample
from autoif.training import bench
from autoif.training.bench import Figures, kept, middle, rounds, rows_of

ARMS = ["ours", "trl", "trl_tuned"]


def figures(speed: float) -> Figures:
    return Figures(
        tokens_per_second=speed, tokens_per_cpu_second=speed, step_seconds=1.0, peak_gb=1.0, losses=[2.0, 1.0]
    )


def options(path: Path, wanted: int) -> argparse.Namespace:
    return argparse.Namespace(
        model=".", rounds=wanted, steps=1, batch=1, micro=1, threads=1, techniques=[], keep=path, algorithm=["sft"]
    )


def test_rows_have_skewed_lengths_or_all_the_same() -> None:
    spread, alike = rows_of("sft", 50), rows_of("sft", 50, spread=0.0)
    assert isinstance(spread[0], SftExample)
    lengths = [len(row.messages[1].content.split()) for row in spread]  # type: ignore[attr-defined]
    assert min(lengths) >= 40
    assert max(lengths) <= 260
    assert len(set(lengths)) > 20
    assert len({len(row.messages[1].content.split()) for row in alike}) == 1  # type: ignore[attr-defined]
    assert isinstance(rows_of("dpo", 1)[0], PreferencePair)


def test_arms_take_turns_and_a_call_that_was_cut_off_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def measure(arm: str, job: Any) -> Figures:
        if len(asked) == 4:
            raise KeyboardInterrupt
        asked.append(arm)
        return figures(len(asked))

    monkeypatch.setattr(bench, "measure", measure)
    path = tmp_path / "kept.json"
    with pytest.raises(KeyboardInterrupt):
        rounds("sft", options(path, 2), ARMS, kept(path).setdefault("sft", {}))
    assert asked == [*ARMS, "ours"]
    asked.clear()
    seen = kept(path)
    rounds("sft", options(path, 2), ARMS, seen["sft"])
    assert asked == ["trl", "trl_tuned"]
    assert {arm: len(runs) for arm, runs in kept(path)["sft"].items()} == dict.fromkeys(ARMS, 2)
    rounds("sft", options(path, 2), ARMS, seen["sft"])
    assert len(asked) == 2


def test_the_median_round_of_an_even_number_is_the_slower_one() -> None:
    assert middle([figures(s) for s in (3.0, 1.0, 2.0)]).tokens_per_second == 2.0
    assert middle([figures(s) for s in (4.0, 1.0, 2.0, 3.0)]).tokens_per_second == 2.0
