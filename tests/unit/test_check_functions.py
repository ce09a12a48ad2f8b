"""What real responses say about functions: constant ones and contradicted ones go, and the answers follow."""

from dataclasses import replace as changed

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scripted import context, reasons, split, verifier

from autoif.config import CheckFunctionsConfig, VerifyResponsesConfig
from autoif.records import Answers, Case, Prompt, Response
from autoif.synthesis.check_functions import (
    agreement,
    check_functions,
    disagreeing,
    narrow_answers,
    observe_responses,
)
from autoif.synthesis.verify_responses import verify_responses

TEXTS = ("low one", "low two", "low three", "UP ONE", "UP TWO", "Mixed")
CONFIG = CheckFunctionsConfig(enabled=True)
LOWER = "def evaluate(response):\n    return response.islower()"
ALSO_LOWER = "def evaluate(response):\n    return response == response.lower()"
UPPER = "def evaluate(response):\n    return response.isupper()"
YES = "def evaluate(response):\n    return True"
NO_Z = "def evaluate(response):\n    return 'z' not in response"
CRASHES = "def evaluate(response):\n    return 1 / 0"
CASES = [Case(input="buzz", expected=False), Case(input="quiet", expected=True)]


def answers(row, *queries, texts=TEXTS):
    """Responses to each query under one instruction, not yet executed."""
    return [
        Answers(
            id=f"{row.id}-{query}",
            prompt=Prompt(
                id=f"{row.id}-{query}",
                verifier_id=row.id,
                instruction=row.instruction.text,
                query=query,
                text=query,
                functions=row.functions,
            ),
            responses=tuple(Response(index=i, text=text) for i, text in enumerate(texts)),
        )
        for query in queries
    ]


def checked(engine, *rows, config=CONFIG, queries=("a", "b"), texts=TEXTS):
    """Instructions and answers after the check, and what was dropped of the instructions."""
    made = context(config, execution=engine)
    observed = list(observe_responses(made, [a for row in rows for a in answers(row, *queries, texts=texts)]))
    kept, dropped = split(check_functions(made, rows, observed))
    return kept, dropped, list(narrow_answers(made, observed, kept))


def codes(row):
    return [function.code for function in row.functions]


def test_a_function_that_always_says_the_same_goes(engine):
    kept, dropped, _ = checked(engine, verifier(YES, LOWER, ALSO_LOWER, cases=CASES))
    assert codes(kept[0]) == [LOWER, ALSO_LOWER]
    assert [(d.reason, d.detail, codes(d.record)) for d in dropped] == [("function_is_constant", "always true", [YES])]


def test_a_function_that_cases_show_to_tell_things_apart_is_not_constant(engine):
    kept, dropped, _ = checked(engine, verifier(NO_Z, cases=CASES))
    assert codes(kept[0]) == [NO_Z]
    assert not dropped
    _, dropped, _ = checked(engine, verifier(NO_Z, cases=CASES[1:]))
    assert reasons(dropped) == ["function_is_constant", "no_function_left"]


def test_few_responses_make_no_function_constant(engine):
    kept, dropped, _ = checked(engine, verifier(YES), queries=("a",), texts=("x", "y", "z"))
    assert (codes(kept[0]), dropped) == ([YES], [])


def test_the_function_that_the_others_contradict_goes(engine):
    kept, dropped, _ = checked(engine, verifier(LOWER, UPPER, ALSO_LOWER, cases=CASES))
    assert codes(kept[0]) == [LOWER, ALSO_LOWER]
    assert [(d.reason, codes(d.record)) for d in dropped] == [("function_disagrees", [UPPER])]


def test_two_that_contradict_each_other_both_go_and_a_lone_one_stays(engine):
    kept, dropped, narrowed = checked(engine, verifier(LOWER, UPPER, text="One."), verifier(LOWER, text="Two."))
    assert [row.instruction.text for row in kept] == ["Two."]
    assert reasons(dropped) == ["function_disagrees", "function_disagrees", "no_function_left"]
    assert {row.reason for row in narrowed if not isinstance(row, Answers)} == {"instruction_dropped"}
    assert [row.prompt.instruction for row in narrowed if isinstance(row, Answers)] == ["Two.", "Two."]


def test_a_function_that_crashes_everywhere_is_neither_constant_nor_contradicted(engine):
    kept, dropped, _ = checked(engine, verifier(LOWER, CRASHES, cases=CASES))
    assert (codes(kept[0]), dropped) == ([LOWER, CRASHES], [])


def test_answers_are_judged_by_the_functions_that_are_left_without_running_them_again(engine):
    _, _, narrowed = checked(engine, verifier(YES, LOWER, ALSO_LOWER, cases=CASES), queries=("a",))
    assert [response.outcomes for response in narrowed[0].responses[:4]] == [("true", "true")] * 3 + [
        ("false", "false")
    ]
    made = context(VerifyResponsesConfig(), execution=engine)
    broken = [replace(row, prompt=replace(row.prompt, functions=row.prompt.functions)) for row in narrowed]
    kept, _ = split(verify_responses(made, broken))
    assert [r.accuracy for r in kept[0].responses] == [1.0] * 3 + [0.0] * 3
    assert [r.dropped for r in kept[0].responses] == [None] * 3 + ["response_below_threshold"] * 3


def test_an_instruction_without_any_answer_is_left_as_it_is(engine):
    made = context(CONFIG, execution=engine)
    first, second = verifier(LOWER, UPPER, text="One."), verifier(LOWER, text="Two.")
    observed = list(observe_responses(made, answers(second, "a")))
    kept, dropped = split(check_functions(made, [first, second], observed))
    assert (kept, dropped) == ([first, second], [])
    assert list(narrow_answers(made, observed, kept)) == observed


def test_settings_move_both_lines(engine):
    loose = changed(CONFIG, agreement=0.0)
    kept, dropped, _ = checked(engine, verifier(LOWER, UPPER, cases=CASES), config=loose)
    assert (len(kept[0].functions), dropped) == (2, [])
    patient = changed(CONFIG, min_responses=13)
    kept, dropped, _ = checked(engine, verifier(LOWER, UPPER, YES, cases=CASES), config=patient)
    assert (len(kept[0].functions), dropped) == (3, [])


@pytest.mark.parametrize(
    ("one", "other", "rate"),
    [
        ([True, False, True, None], [True, True, True, False], 2 / 3),
        ([True, None], [None, True], None),
        ([True] * 3, [False] * 3, 0.0),
    ],
)
def test_agreement_is_over_what_both_judged(one, other, rate):
    assert agreement(one, other, 3 if rate is not None else 1) == rate


VERDICT = st.sampled_from([True, False, None])


@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(VERDICT, min_size=6, max_size=6), min_size=n, max_size=n)))
def test_what_stays_agrees_whatever_the_order(columns):
    verdicts = {str(i): column for i, column in enumerate(columns)}
    gone = disagreeing(verdicts, 0.6, 2)
    assert gone == disagreeing(dict(reversed(verdicts.items())), 0.6, 2)
    left = {key: column for key, column in verdicts.items() if key not in gone}
    assert disagreeing(left, 0.6, 2) == {}
    assert all(rate < 0.6 for rate in gone.values())


def test_answers_may_come_in_any_order_and_of_instructions_that_are_gone(engine):
    made = context(CONFIG, execution=engine)
    gone, first, second = (
        verifier(LOWER, UPPER, ALSO_LOWER, cases=CASES, text=text) for text in ("Gone.", "One.", "Two.")
    )
    mixed = [*answers(gone, "a"), *answers(second, "a"), *answers(first, "a", "b"), *answers(second, "b")]
    observed = list(observe_responses(made, mixed))
    kept, dropped = split(check_functions(made, [first, second], observed))
    assert [codes(row) for row in kept] == [[LOWER, ALSO_LOWER]] * 2
    assert reasons(dropped) == ["function_disagrees"] * 2
    narrowed = list(narrow_answers(made, observed, kept))
    assert [isinstance(row, Answers) for row in narrowed] == [False, True, True, True, True]


def test_rows_of_one_instruction_may_differ_in_their_functions(engine):
    made = context(CONFIG, execution=engine)
    row, part = verifier(LOWER, UPPER, ALSO_LOWER, cases=CASES), verifier(LOWER, UPPER, cases=CASES)
    observed = list(observe_responses(made, [*answers(part, "a"), *answers(row, "b")]))
    (kept,), dropped = split(check_functions(made, [row], observed))
    assert (codes(kept), reasons(dropped)) == ([LOWER, ALSO_LOWER], ["function_disagrees"])
