"""Near-duplicates: the same demand in other words goes, another demand in the same words stays."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import context, instruction, reasons, split

from autoif.config import NearDuplicatesConfig
from autoif.synthesis.near_duplicates import fingerprint_of, jaccard, near_duplicates


def run(*texts, **settings_):
    return split(near_duplicates(context(NearDuplicatesConfig(**settings_)), [instruction(text) for text in texts]))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('Use the word "sky" exactly two times.', 'Use the word "sky" exactly twice.'),
        ("Write the answer in exactly three sentences.", "Write your answer in exactly 3 sentences."),
        ("Answer with at least five lines.", "Answer with at least five lines, please."),
        ("Do not use any commas in the answer.", "do not use any comma in the answer!"),
    ],
)
def test_the_same_demand_in_other_words_goes(first, second):
    kept, dropped = run(first, second)
    assert [row.text for row in kept] == [first]
    assert [(drop.record.text, drop.reason, drop.detail) for drop in dropped] == [
        (second, "near_duplicate", f"of: {first}")
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Answer with at least three lines.", "Answer with at least four lines."),
        ("Answer with at least three lines.", "Answer with at most three lines."),
        ("Use the letter e in every word.", "Use the letter a in every word."),
        ('End the answer with "Bye".', 'End the answer with "Done".'),
        ("Use the word river in the answer.", "Do not use the word river in the answer."),
        ("Do not use any digits.", "Do not use any hyphens."),
        ("Start the second line with a dash.", "Start the second line with a colon."),
        ("Write everything in lower case.", "Write everything in upper case."),
        ("Start the answer with a question.", "End the answer with a question."),
    ],
)
def test_another_number_word_or_direction_is_another_demand(first, second):
    kept, dropped = run(first, second)
    assert len(kept) == 2
    assert not dropped


def test_the_earlier_one_stays_so_seeds_win_over_their_rewrites():
    kept, dropped = run(
        "Use exactly 3 lines in the answer.", "Use exactly three lines in your answer.", "Use one word."
    )
    assert [row.text for row in kept] == ["Use exactly 3 lines in the answer.", "Use one word."]
    assert reasons(dropped) == ["near_duplicate"]


def test_the_threshold_is_similarity_of_shingles():
    pair = ("Write the answer as one long poem.", "Write the reply as one long poem.")
    assert len(run(*pair, threshold=0.7)[0]) == 1
    assert len(run(*pair, threshold=0.9)[0]) == 2
    assert len(run(*pair, threshold=0.7, shingle=3)[0]) == 2


def test_the_index_finds_what_comparing_all_pairs_finds():
    draw = random.Random(3)
    words = ["write", "use", "add", "the", "a", "one", "reply", "text", "poem", "blue", "red", "slow", "quick"]
    texts = list(dict.fromkeys(" ".join(draw.choices(words, k=draw.randint(3, 8))) for _ in range(400)))
    kept, _ = run(*texts, threshold=0.7)
    expected = []
    for text in texts:
        mine = fingerprint_of(text, 1)
        if not any(
            mine.telling == other.telling and jaccard(mine.shingles, other.shingles) >= 0.7
            for other in (fingerprint_of(earlier, 1) for earlier in expected)
        ):
            expected.append(text)
    assert [row.text for row in kept] == expected


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=6), st.integers(1, 4))
def test_no_text_is_too_strange_and_none_is_its_own_rival(texts, shingle):
    kept, dropped = run(*texts, shingle=shingle)
    assert len(kept) + len(dropped) == len(texts)
    assert len(run(*[row.text for row in kept], shingle=shingle)[0]) == len(kept)
