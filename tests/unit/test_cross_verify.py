"""Cross verification by real execution: kept and dropped exactly as the paper's thresholds say."""

import pytest
from scripted import context, reasons, split, verifier

from autoif.config import CrossVerifyConfig
from autoif.execution import ExecutionConfig, ExecutionEngine, JobResult, Outcome
from autoif.records import Case
from autoif.synthesis.cross_verify import cross_verify, narrow
from autoif.synthesis.evidence import accuracy, agrees, matrices


def true_on(*inputs):
    """A function that is True on these inputs alone."""
    return f"def evaluate(response):\n    return response in {inputs!r}"


def cases(**expected):
    return [Case(input=text, expected=value) for text, value in expected.items()]


def run(engine, *verifiers, **settings):
    made = context(CrossVerifyConfig(**settings), execution=engine)
    kept, dropped = split(cross_verify(made, verifiers))
    return kept, dropped, made.facts


CASES = cases(c0=True, c1=True, c2=False, c3=True)
A, B, C = true_on("c0", "c1"), "def evaluate(response):\n    return response in ['c0', 'c1']", true_on("c0", "c2")
#          c0    c1    c2    c3   right on
#   A      yes   yes   yes   no   3/4
#   B      yes   yes   yes   no   3/4
#   C      yes   no    no    no   1/4
#   agree  3/3   2/3   2/3   0/3


def test_functions_and_cases_above_one_half_confirm_each_other(engine):
    (kept,), dropped, facts = run(engine, verifier(A, B, C, cases=CASES))
    assert [(f.code, f.accuracy) for f in kept.functions] == [(A, 0.75), (B, 0.75)]
    assert [(c.input, c.accuracy) for c in kept.cases] == [("c0", 1.0), ("c1", 2 / 3), ("c2", 2 / 3)]
    assert [(r.reason, r.detail) for r in dropped] == [
        ("case_below_threshold", "accuracy 0.00"),
        ("function_below_threshold", "accuracy 0.25"),
    ]
    assert dropped[0].record.cases[0].input == "c3"
    assert dropped[1].record.functions[0].code == C
    assert facts["isolation"].startswith("L")


@pytest.mark.parametrize(
    ("threshold", "functions", "left"),
    [(0.0, [A, B, C], 3), (0.24, [A, B, C], 3), (0.25, [A, B], 3), (0.74, [A, B], 3), (0.75, [], 0)],
)
def test_a_function_at_the_threshold_is_dropped_above_it_kept(engine, threshold, functions, left):
    kept, _, _ = run(engine, verifier(A, B, C, cases=CASES), function_threshold=threshold)
    assert [f.code for row in kept for f in row.functions] == functions
    assert sum(len(row.cases) for row in kept) == left


def test_a_case_that_half_the_functions_contradict_is_dropped(engine):
    kept, dropped, _ = run(engine, verifier(true_on("x"), true_on("x", "y"), cases=cases(x=True, y=True, z=False)))
    assert [c.input for c in kept[0].cases] == ["x", "z"]
    assert reasons(dropped) == ["case_below_threshold"]


def test_the_same_input_with_both_outputs_is_settled_by_the_vote(engine):
    both = [Case(input="x", expected=True), Case(input="x", expected=False)]
    (kept,), *_ = run(engine, verifier(true_on("x"), cases=[*both, Case(input="y", expected=False)]))
    assert [(c.input, c.expected) for c in kept.cases] == [("x", True), ("y", False)]


def test_too_few_survivors_drop_the_instruction_with_the_part_that_was_left(engine):
    rows = verifier(A, B, C, cases=CASES)
    kept, dropped, _ = run(engine, rows, min_functions=3)
    assert not kept
    assert (dropped[-1].reason, dropped[-1].detail) == ("too_few_functions", "2 of 3 left")
    assert len(dropped[-1].record.functions) == 2
    kept, dropped, _ = run(engine, rows, min_cases=4)
    assert (kept, dropped[-1].reason, dropped[-1].detail) == ([], "too_few_cases", "3 of 4 left")


def test_a_function_that_does_not_load_has_no_vote(engine):
    broken = [
        "def evaluate(response:",
        "import no_such_module\n" + A,
        "def check(response): return True",
        "x = 1 / 0\n" + A,
    ]
    (kept,), dropped, _ = run(engine, verifier(*broken, A, cases=CASES))
    assert reasons(dropped)[:4] == ["function_does_not_load"] * 4
    assert [c.accuracy for c in kept.cases] == [1.0, 1.0, 1.0]
    assert [f.code for f in kept.functions] == [A]


def test_an_instruction_whose_functions_all_fail_to_load_is_dropped(engine):
    kept, dropped, _ = run(engine, verifier("def evaluate(response:", cases=CASES))
    assert (kept, dropped[-1].reason) == ([], "too_few_functions")


def test_a_function_that_crashes_on_a_case_is_not_right_about_it(engine):
    picky = "def evaluate(response):\n    return {'c0': True, 'c2': False}[response]"
    (kept,), _, _ = run(engine, verifier(picky, A, cases=cases(c0=True, c1=True, c2=False)))
    assert [(c.input, c.accuracy) for c in kept.cases] == [("c0", 1.0), ("c2", 1.0)]
    assert [f.accuracy for f in kept.functions] == [2 / 3, 1.0]


def test_upstream_fault_1_helpers_and_imports_beside_evaluate_are_found(engine):
    code = """import re
from string import ascii_uppercase as UPPER
LIMIT = 2

def count(text):
    return len(re.findall('[' + UPPER + ']', text))

def evaluate(response):
    return any(count(part) > LIMIT for part in response.split())"""
    (kept,), dropped, _ = run(engine, verifier(code, cases=cases(**{"an ABC": True, "an AB C": False})))
    assert not dropped
    assert kept.functions[0].accuracy == 1.0


def test_upstream_fault_3_words_returned_for_booleans_count_as_booleans(engine):
    code = "def evaluate(response):\n    return 'True' if response == 'c0' else 'false'"
    (kept,), dropped, _ = run(engine, verifier(code, cases=cases(c0=True, c2=False)))
    assert (kept.functions[0].accuracy, dropped) == (1.0, [])


@pytest.mark.parametrize(
    "value", ["1", "'yes, it does'", "[response]", "__import__('re').match('', response)", "{}.get"]
)
def test_what_is_only_true_in_spirit_agrees_with_nothing(engine, value):
    kept, dropped, _ = run(
        engine, verifier(f"def evaluate(response):\n    return {value}", cases=cases(c0=True, c2=False))
    )
    assert (kept, dropped[-1].reason) == ([], "too_few_functions")


def test_upstream_fault_4_code_that_mentions_downloads_is_run_as_it_is(engine):
    code = "def evaluate(response):\n    requests = response.count('download')\n    return requests == 1"
    (kept,), *_ = run(engine, verifier(code, cases=cases(**{"a download": True, "none": False})))
    assert kept.functions[0].code == code


def test_upstream_fault_5_a_loop_that_swallows_exceptions_ends_and_the_next_function_is_judged(engine):
    endless = """def evaluate(response):
    while True:
        try:
            while True: pass
        except BaseException:
            pass"""
    (kept,), dropped, _ = run(engine, verifier(endless, A, B, cases=cases(c0=True)))
    assert [f.code for f in kept.functions] == [A, B]
    assert reasons(dropped) == ["function_below_threshold"]


def test_upstream_fault_6_code_runs_apart_and_ends_only_itself(engine):
    import autoif.records

    leaving = "import os\ndef evaluate(response):\n    os._exit(0)"
    marking = (
        "def evaluate(response):\n    import sys\n    sys.modules['autoif.records'].marked = True\n    return True"
    )
    (kept,), dropped, _ = run(
        engine, verifier(leaving, marking, A, cases=cases(c0=True), text="Leave."), case_threshold=0.3
    )
    assert [f.code for f in kept.functions] == [A]
    assert reasons(dropped) == ["function_below_threshold"] * 2
    assert not hasattr(autoif.records, "marked")


def test_upstream_fault_7_the_same_input_gives_the_same_rows_in_the_same_order(engine):
    rows = [
        verifier(*(true_on(f"c{n}", f"c{n + 1}") for n in range(6)), cases=CASES, text=f"Number {n}.") for n in range(5)
    ]
    first, again = (run(engine, *rows, case_threshold=0.1, function_threshold=0.1)[0] for _ in range(2))
    assert first == again
    assert [row.id for row in first] == [row.id for row in rows]


def test_matrices_keep_groups_apart_whatever_their_size(engine):
    groups = [
        (verifier(A, B, C).functions, ["c0", "c2"]),
        ((), ["c0"]),
        ((), []),
        (verifier(A).functions, ["c1"]),
        (verifier(A, C).functions, []),
        ((), ["c0"]),
    ]
    found = [[[o.value for o in result.outcomes] for result in matrix] for matrix in matrices(engine, groups)]
    t, f = "true", "false"
    assert found == [[[t, f], [t, f], [t, t]], [], [], [[t]], [[], []], []]


def test_a_function_without_any_case_is_not_called_broken():
    row = verifier(A)
    dropped = split(narrow(row, [JobResult(())], CrossVerifyConfig()))[1]
    assert reasons(dropped) == ["function_below_threshold", "too_few_functions"]


def test_only_an_exact_boolean_agrees():
    assert [o for o in Outcome if agrees(o, True)] == [Outcome.TRUE]
    assert [o for o in Outcome if agrees(o, False)] == [Outcome.FALSE]


T, F, N, E = Outcome.TRUE, Outcome.FALSE, Outcome.NONE, Outcome.ERROR


NOT_RUN = [Outcome.TIMEOUT, Outcome.MEMORY, Outcome.CRASH, Outcome.SKIPPED, Outcome.OTHER, Outcome.LOAD_ERROR]


@pytest.mark.parametrize(
    ("outcomes", "value"),
    [
        ([T], 1),
        ([F], 0),
        ([T, F], 0.5),
        ([T, N], 0.5),
        ([T, E], 1),
        ([F, E], 0),
        ([E], None),
        ([], None),
        ([T, T, F, *NOT_RUN], 2 / 3),
    ],
)
def test_accuracy_is_over_the_calls_that_are_evidence(outcomes, value):
    assert accuracy(outcomes) == value


def test_a_function_that_the_audit_caught_is_out_with_the_evidence():
    counting = "seen = []\ndef evaluate(response):\n    seen.append(response)\n    return len(seen) == 1"
    with ExecutionEngine(ExecutionConfig(workers=1, audit_rate=1.0)) as auditing:
        kept, dropped, _ = run(auditing, verifier(counting, A, cases=CASES[:3]))
    assert [f.code for row in kept for f in row.functions] == [A]
    (caught,) = [drop for drop in dropped if drop.reason == "function_untrustworthy"]
    assert caught.record.functions[0].code == counting
    assert "when run alone" in caught.detail


def test_a_function_that_the_audit_caught_says_nothing_about_any_input():
    counting = "seen = []\ndef evaluate(response):\n    seen.append(response)\n    return len(seen) == 1"
    functions = verifier(counting, A, cases=CASES).functions
    with ExecutionEngine(ExecutionConfig(workers=1, audit_rate=1.0)) as auditing:
        ((caught, honest),) = matrices(auditing, [(functions, ["c0", "c3"])])
    assert (caught.trusted, caught.outcomes) == (False, (Outcome.SKIPPED, Outcome.SKIPPED))
    assert (honest.trusted, honest.outcomes) == (True, (Outcome.TRUE, Outcome.FALSE))
