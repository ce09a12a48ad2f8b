"""Text on its way into reports: bounded, visible, inert in HTML and Markdown, whatever it is."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoif.report.charts import labels, smooth, ticks
from autoif.report.text import clip, count, duration, escape, fence, line, markdown, number, signed, size, visible

ANY = st.text(st.characters(), max_size=200) | st.text("<>&\"'`*_|[]~\\\n\r\t\x00\u202e\ud800 ab", max_size=80)


@settings(deadline=None)
@given(ANY)
def test_escaped_text_holds_no_markup_and_no_invisible_character(text: str) -> None:
    safe = escape(text)
    assert not re.search("[<>\"'\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", safe)
    assert html.unescape(safe) == visible(text)
    safe.encode()


@settings(deadline=None)
@given(ANY)
def test_a_fence_is_closed_by_its_own_bar_alone(text: str) -> None:
    rows = fence(text, limit=120).split("\n")
    bar = rows[0].removesuffix("text")
    assert rows[-1] == bar
    assert not any(re.fullmatch(rf" {{0,3}}`{{{len(bar)},}}\s*", row) for row in rows[1:-1])


@settings(deadline=None)
@given(ANY)
def test_markdown_text_is_one_cell_of_one_line(text: str) -> None:
    cell = markdown(text)
    assert "\n" not in cell
    assert "<" not in cell
    assert not re.search(r"(?<!\\)(\\\\)*[|`*\[\]]", cell)


@settings(deadline=None)
@given(ANY, st.integers(2, 60))
def test_a_line_keeps_its_limit_and_says_when_it_was_cut(text: str, limit: int) -> None:
    short = line(text, limit)
    assert len(short) <= limit
    assert short.endswith("…") or " ".join(visible(text).split()) == short


def test_names_with_underscores_stay_readable_in_markdown() -> None:
    assert markdown("train_sft +3.1 (a) is # 1") == "train_sft +3.1 (a) is # 1"
    assert markdown("_x_ *y* `z`") == r"\_x\_ \*y\* \`z\`"
    assert markdown("# no heading") == r"\# no heading"


def test_clip_says_how_much_is_left_out() -> None:
    assert clip("abcdef", 4) == ("abcd", 2)
    assert clip("abcd", 4) == ("abcd", 0)


@pytest.mark.parametrize(
    "shown, wanted",
    [
        (count(1234567), "1,234,567"),
        (signed(12.46), "+12.5"),
        (signed(-3.14), "−3.1"),
        (signed(-0.01), "±0.0"),
        (number(0), "0"),
        (number(0.69314), "0.6931"),
        (number(5e-7), "5e-7"),
        (number(12345.6), "12,346"),
        (number(-2.5e6), "-2.5e6"),
        (duration(0.0254), "25 ms"),
        (duration(3.24), "3.2 s"),
        (duration(59.7), "60 s"),
        (duration(250), "4 min 10 s"),
        (duration(7505), "2 h 05 min"),
        (size(999), "999 B"),
        (size(3_400_000), "3.4 MB"),
    ],
)
def test_numbers_are_written_for_people(shown: str, wanted: str) -> None:
    assert shown == wanted


@settings(deadline=None)
@given(st.floats(-1e4, 1e4), st.floats(1e-4, 1e6))
def test_ticks_are_few_round_inside_and_told_apart(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert 1 <= len(found) <= 9
    assert all(low - span * 1e-3 <= value <= low + span * 1.001 for value in found)
    assert found == sorted(found)
    assert len(set(labels(found))) == len(found)


def test_tick_labels_have_the_decimals_they_need() -> None:
    assert labels([0.69310, 0.69312, 0.69314]) == ["0.69310", "0.69312", "0.69314"]
    assert labels([-50.0, 0.0, 50.0]) == ["−50", "0", "50"]
    assert labels([0.0, 2e-5, 4e-5]) == ["0", "2e-5", "4e-5"]


def test_smoothing_keeps_constants_and_lengths() -> None:
    assert smooth([2.0] * 7, 5) == [2.0] * 7
    assert smooth([0.0, 3.0, 6.0], 3) == [1.5, 3.0, 4.5]
