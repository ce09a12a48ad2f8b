"""The mutation check by real execution: functions that check their instruction stay, those that check nothing go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import context, reasons, split, verifier

from autoif.config import MutationCheckConfig
from autoif.records import Case
from autoif.synthesis.mutation_check import groups, mutation_check
from autoif.synthesis.mutations import mutations, spread

GOOD = Case(input="Rain falls on the old roof.\nThe cat sleeps, warm and dry.\nNobody else is home.", expected=True)


def function(body):
    return f"import re\ndef evaluate(response):\n    {body}"


def run(engine, *codes, cases=(GOOD,), text="Answer in three lines.", **settings):
    rows = [verifier(*codes, cases=cases, text=text)]
    return split(mutation_check(context(MutationCheckConfig(**settings), execution=engine), rows))


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("Answer in three lines.", "return response.count('\\n') == 2"),
        ("Use at most twenty words.", "return len(response.split()) <= 20"),
        ("Use at least ten words.", "return len(response.split()) >= 10"),
        ("Do not use the letter z.", "return 'z' not in response.lower()"),
        ('Do not write the word "banana".', "return 'banana' not in response.lower()"),
        ("Use no digits.", "return not re.search('[0-9]', response)"),
        ("Use no exclamation marks.", "return '!' not in response"),
        ('Start with the word "Rain".', "return response.startswith('Rain')"),
        ("End with a full stop.", "return response.endswith('.')"),
        ("Do not write everything in capitals.", "return response != response.upper()"),
        ("Use a comma.", "return ',' in response"),
        ("Use no bullet points.", "return not re.search(r'^\\s*[-*]', response, re.M)"),
        ("Put no quotes around the answer.", "return not response.startswith(chr(34))"),
        ("Use no emoji.", "return all(ord(c) < 0x1F000 for c in response)"),
        ('The word "cat" stands on the second line.', "return 'cat' in (response.split('\\n') + [''] * 2)[1]"),
    ],
)
def test_a_function_that_checks_its_instruction_stays(engine, text, body):
    kept, dropped = run(engine, function(body), text=text)
    assert reasons(dropped) == []
    assert len(kept[0].functions) == 1


@pytest.mark.parametrize(
    "body",
    ["return True", "return isinstance(response, str)", "return len(response) >= 0", "return True or undefined"],
)
def test_a_function_that_accepts_everything_goes(engine, body):
    kept, dropped = run(engine, function(body))
    assert not kept
    assert reasons(dropped) == ["function_passes_every_mutation", "no_function_left"]
    assert dropped[0].record.functions[0].code == function(body)


def test_crashing_on_what_is_damaged_is_no_refusal(engine):
    kept, dropped = run(engine, function(f"assert response == {GOOD.input!r}\n    return True"))
    assert (kept, reasons(dropped)) == ([], ["function_passes_every_mutation", "no_function_left"])


def test_a_function_that_accepts_no_positive_case_shows_nothing(engine):
    three_lines = function("return response.count('\\n') == 2")
    kept, dropped = run(engine, function("return False"), three_lines)
    assert [f.code for f in kept[0].functions] == [three_lines]
    assert reasons(dropped) == ["function_accepts_no_case"]
    kept, dropped = run(engine, three_lines, cases=[Case(input="one line", expected=False)])
    assert (kept, reasons(dropped)) == ([], ["function_accepts_no_case", "no_function_left"])


def test_as_many_positive_cases_are_mutated_as_configured_from_short_to_long():
    cases = [Case(input="x" * n, expected=n != 4) for n in range(1, 9)]
    row = verifier("code", cases=cases)
    assert [group[0] for group in groups(row, 3)] == ["x", "x" * 5, "x" * 8]
    assert [group[0] for group in groups(row, 99)] == [case.input for case in cases if case.expected]
    assert groups(verifier("code"), 3) == []


@given(st.text(max_size=60), st.text(max_size=20), st.lists(st.text(max_size=9), max_size=2))
def test_mutations_are_the_same_every_time_and_never_the_answer_itself(answer, instruction, refused):
    found = mutations(answer, instruction, refused)
    assert found == mutations(answer, instruction, refused)
    assert answer not in found.values()
    assert found


@given(st.lists(st.text(max_size=5), max_size=9), st.integers(1, 5))
def test_a_spread_is_distinct_and_bounded(texts, wanted):
    found = list(spread(texts, wanted))
    assert len(found) == len(set(found)) <= wanted
    assert set(found) <= set(texts)
    assert bool(found) is bool(texts)


def test_without_any_case_nothing_is_judged(engine):
    kept, dropped = run(engine, function("return True"), cases=[])
    assert (len(kept[0].functions), dropped) == (1, [])
