"""Benchmark prompts inside training texts are found, look-alikes are not."""

from evaluation.contamination import COMMON, Index
from evaluation.responses import Question

LONG = "Write a letter to the mayor about the old bridge over the river and ask for a new coat of green paint"
QUESTIONS = [Question("long", LONG), Question("short", "Name three rivers in France.")]


def found(*texts, questions=QUESTIONS):
    return [
        (o.item, o.text, round(o.share, 2)) for o in Index(questions).search((f"t{i}", t) for i, t in enumerate(texts))
    ]


def test_a_copied_prompt_is_found_whatever_surrounds_it_and_however_it_is_set():
    assert found(f"Please: {LONG.upper()}!! Thanks.", "name THREE rivers, in france") == [
        ("long", "t0", 1.0), ("short", "t1", 1.0)]  # fmt: skip


def test_a_part_counts_from_half_of_the_n_grams():
    words = LONG.split()
    # 22 words hold 10 n-grams of 13: the first 18 hold 6 of them, the first 16 hold 4.
    assert len(words) == 22
    assert found(" ".join(words[:18]), " ".join(words[:16])) == [("long", "t0", 0.6)]


def test_a_text_about_the_same_thing_is_not_contaminated():
    assert not found("The old bridge over the river needs green paint, I wrote to the mayor in a letter.", "")


def test_boilerplate_that_many_items_share_does_not_count():
    preamble = "You are given a passage and a question about it and shall answer in one short sentence"
    items = [Question(str(i), f"{preamble}. Topic {i}: " + f"word{i} " * 12) for i in range(COMMON + 1)]
    assert not found(preamble, questions=items)
    assert [item for item, *_ in found(items[3].prompt, questions=items)] == ["3"]
