"""Answers that pair with their questions and still look wrong are named; shifted ones stop the scoring."""

import random

import pytest

from autoif.errors import DataError
from autoif.records import EvaluationItem
from evaluation.suspicion import findings

WORDS = [f"word{chr(97 + a)}{chr(97 + b)}{chr(97 + c)}" for a in range(8) for b in range(8) for c in range(8)]


def items(count=30, shift=0, **changes):
    """Each answer takes up the rare words of its prompt, or of that ``shift`` places on."""
    prompts = [" ".join(random.Random(n).sample(WORDS, 12)) for n in range(count)]
    return [
        EvaluationItem(
            id=str(n),
            benchmark="b",
            model="m",
            prompt=prompt,
            response=changes.get(str(n), f"Answer {n}: {' '.join(prompts[(n + shift) % count].split()[:8])}."),
            scores={},
        )
        for n, prompt in enumerate(prompts)
    ]


def test_good_answers_raise_no_suspicion():
    assert findings(items()) == []


@pytest.mark.parametrize(("shift", "where"), [(1, "1 place on"), (-1, "1 place back"), (2, "2 places on")])
def test_answers_to_the_neighbouring_prompts_stop_the_scoring(shift, where):
    with pytest.raises(DataError, match=f"fit the prompts {where} better than their own"):
        findings(items(shift=shift))


def test_few_answers_or_answers_about_nothing_say_nothing_about_a_shift():
    assert findings(items(5, shift=1)) == []
    assert findings(items(30, **{str(n): f"no{n}" for n in range(30)})) == []


def test_the_same_long_answer_twice_is_named_a_short_one_is_not():
    same = {
        "3": "I am sorry, I can't help with that request today.",
        "9": "I am sorry, I can't help with that request today.",
    }
    assert findings(items(**same)) == ["2 prompts have the very same answer: 3, 9"]
    assert findings(items(**{"3": "Yes.", "9": "Yes."})) == []


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("Sure.<|im_end|>", "1 answers hold markup of a chat template, which is scored as text: 4"),
        ("<think>Hm.</think>Sure.", "1 answers hold think tags, which is scored as text: 4"),
        ("", "1 answers are empty: 4"),
    ],
)
def test_what_a_chat_log_leaves_is_named(response, found):
    assert findings(items(**{"4": response})) == [found]


def test_an_answer_that_begins_with_its_prompt_is_named():
    plain = items()
    assert findings(items(**{"7": plain[7].prompt + " So be it."})) == ["1 answers begin with their whole prompt: 7"]


def test_the_benchmarks_own_solution_is_named():
    given = items(**{"2": "So:\n  x = 48/2\n  It is 24."})
    assert findings(given, {"2": "x = 48/2  It is 24.", "5": "It is 7."}) == [
        "1 answers hold the benchmark's own solution word by word: 2"
    ]


def test_judgments_without_answers_are_not_called_empty():
    assert findings(items(3, **{str(n): "" for n in range(3)})) == []
