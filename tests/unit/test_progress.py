"""Bars: on terminals only, never in CI, in the unit a stage's time goes into."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, cast

import pytest

from autoif import progress
from autoif.progress import CALLS, EXECUTIONS, RECORDS, advance, bar, track
from autoif.records import Query, Record
from autoif.stage import Context, Estimate, Stage, run_stage
from autoif.store import Store


class Terminal(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    screen = Terminal()
    monkeypatch.setattr(progress, "DELAY", 1e-9)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    return screen


def test_a_bar_counts_its_own_unit_and_shows_rate_and_time_left(terminal: Terminal) -> None:
    with redirect_stderr(terminal), bar("respond", 4, CALLS):
        for _ in range(3):
            advance(CALLS)
            advance(EXECUTIONS, 100)
        text = terminal.getvalue()
    assert "respond:  75%" in text
    assert "3/4" in text
    assert "call/s" in text
    assert "<" in text.split("3/4")[-1]  # elapsed<remaining
    assert "103" not in text


def test_nothing_is_drawn_before_the_delay(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY", 60.0)
    with redirect_stderr(terminal), bar("respond", 4, CALLS):
        advance(CALLS, 4)
        assert list(track(range(3), "numbers")) == [0, 1, 2]
    assert terminal.getvalue().strip() == ""


@pytest.mark.parametrize("why", ["no terminal", "CI"])
def test_bars_are_quiet_off_terminals_and_in_ci(why: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "CI":
        monkeypatch.setenv("CI", "true")
    else:
        terminal.isatty = lambda: False  # type: ignore[method-assign]
    with redirect_stderr(terminal), bar("respond", 4, CALLS):
        advance(CALLS, 2)
        assert list(track(range(3), "numbers", total=3)) == [0, 1, 2]
    assert terminal.getvalue() == ""


def test_advancing_without_a_bar_does_nothing() -> None:
    advance(CALLS)


def test_a_bar_inside_another_takes_the_counts(terminal: Terminal) -> None:
    with redirect_stderr(terminal), bar("outer", 2, RECORDS):
        with bar("inner", 5, RECORDS):
            advance(RECORDS, 5)
        before = terminal.getvalue()
        advance(RECORDS)
    assert "inner: 100%" in before
    assert "outer:  50%" in terminal.getvalue()


def _queries(context: Context) -> Iterator[Record]:
    for i in range(6):
        yield Query(id=str(i), text="What now?", source="shipped")


def _answered(context: Context, rows: Any) -> Iterator[Record]:
    for row in rows:
        advance(CALLS, 2)
        yield row


@pytest.mark.parametrize(
    "estimate, shown",
    [
        (lambda n: Estimate(records=n, model_calls=2 * n), "12/12"),
        (lambda n: Estimate(records=n), "6/6"),
    ],
)
def test_a_stage_is_counted_in_model_calls_or_else_in_records(
    tmp_path: Path, terminal: Terminal, estimate: Any, shown: str
) -> None:
    queries = Stage("queries", Query, _queries)
    stage = Stage("respond", Query, _answered, inputs=(queries,), chunk=4, estimate=estimate)
    with redirect_stderr(terminal):
        for each in (queries, stage):
            run_stage(each, Store(tmp_path), cast(Any, None))
    assert f" {shown} " in terminal.getvalue()
