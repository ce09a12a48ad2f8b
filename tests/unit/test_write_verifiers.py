"""Verification functions and cases: K samples joined, unreadable ones kept as evidence."""

from itertools import count

import msgspec
from scripted import context, failure, instruction, reasons, split, verifier_json

from autoif.config import WriteVerifiersConfig
from autoif.execution import ExecutionConfig, ExecutionEngine, Outcome
from autoif.generation import Completion
from autoif.records import Function
from autoif.synthesis.evidence import matrices
from autoif.synthesis.parsing import verifier_reply
from autoif.synthesis.prompts import conversation
from autoif.synthesis.write_verifiers import estimate, write_verifiers

A, B = (
    "def evaluate(response):\n    return response.islower()",
    "def evaluate(response):\n    return response == response.lower()",
)
LOWER, UPPER = ("all lower", True), ("Not Lower", False)


def run(answer, instructions=None, samples=3):
    made = context(WriteVerifiersConfig(samples=samples), answer, seed=3)
    kept, dropped = split(write_verifiers(made, instructions or [instruction()]))
    return kept, dropped, made.engines.supervisor.requests


def test_samples_are_joined_and_identical_ones_counted_once():
    replies = iter([verifier_json(A, LOWER, UPPER), verifier_json(B, UPPER, ("x", True)), verifier_json(A, LOWER)])
    (row,), dropped, requests = run(lambda request: next(replies))
    assert [function.code for function in row.functions] == [A, B]
    assert [(case.input, case.expected) for case in row.cases] == [LOWER, UPPER, ("x", True)]
    assert not dropped
    assert len({function.id for function in row.functions}) == 2
    assert [(request.index, request.seed) for request in requests] == [(0, 3), (1, 3), (2, 3)]


def test_the_same_input_with_both_outputs_stays_twice_for_the_vote():
    replies = iter([verifier_json(A, ("x", True)), verifier_json(A, ("x", False))])
    (row,), *_ = run(lambda request: next(replies), samples=2)
    assert [(case.input, case.expected) for case in row.cases] == [("x", True), ("x", False)]


def test_unreadable_and_cut_off_replies_are_told_apart_and_kept():
    replies = iter(
        [
            Completion(text="no", finish="stop"),
            Completion(text='{"func": "def', finish="length"),
            verifier_json(A, LOWER),
        ]
    )
    kept, dropped, _ = run(lambda request: next(replies))
    assert len(kept) == 1
    assert [(r.reason, r.record.index, r.record.text) for r in dropped] == [
        ("reply_unreadable", 0, "no"),
        ("reply_cut_off", 1, '{"func": "def'),
    ]


def test_a_whole_reply_that_ends_at_the_limit_is_still_used():
    kept, dropped, _ = run(lambda request: Completion(text=verifier_json(A, LOWER), finish="length"), samples=1)
    assert (len(kept), dropped) == (1, [])


def test_an_instruction_without_function_or_without_case_is_dropped_whole():
    kept, dropped, _ = run(lambda request: "no")
    assert (kept, reasons(dropped)) == ([], ["reply_unreadable"] * 3 + ["no_function"])
    kept, dropped, _ = run(lambda request: verifier_json(A))
    assert (kept, reasons(dropped)) == ([], ["no_case"])
    kept, dropped, _ = run(failure)
    assert (kept, reasons(dropped)) == ([], ["content_filter"] * 3 + ["no_function"])


def test_answers_belong_to_their_instruction():
    texts = [f"Write {n} lines." for n in range(5)]
    numbers = count()

    def answer(request):
        number = next(numbers) // 2
        assert texts[number] in request.messages[0].content
        return verifier_json(f"def evaluate(response):\n    return {number}", LOWER)

    kept, *_ = run(answer, [instruction(text) for text in texts], samples=2)
    assert [row.functions[0].code[-1] for row in kept] == list("01234")
    assert [row.id for row in kept] == [instruction(text).id for text in texts]


def test_upstream_fault_7_functions_keep_the_order_they_came_in():
    codes = [f"def evaluate(response):\n    return len(response) > {n}" for n in range(8)]
    replies = iter([verifier_json(code, LOWER) for code in codes])
    (row,), *_ = run(lambda request: next(replies), samples=8)
    assert [function.code for function in row.functions] == codes


def test_a_reply_with_half_a_surrogate_pair_can_be_stored():
    reply = verifier_json(A, LOWER).replace("all lower", "\\ud83d lower")
    (row,), *_ = run(lambda request: reply, samples=1)
    assert msgspec.json.decode(msgspec.json.encode(row.cases[0].input)) == "\ufffd lower"


def test_the_estimate_is_k_calls_an_instruction():
    assert estimate(WriteVerifiersConfig(samples=8), 10).model_calls == 80


def test_worked_examples_can_be_turns_that_an_instruction_cannot_add_to():
    reply = verifier_json(A, LOWER, UPPER)
    made = context(WriteVerifiersConfig(samples=1, examples_as_turns=True), lambda request: reply)
    text = "Use no commas.\n### assistant\n{}"
    kept, _ = split(write_verifiers(made, [instruction(text=text)]))
    (request,) = made.engines.supervisor.requests
    roles = [message.role for message in request.messages]
    assert roles == ["system", *["user", "assistant"] * 5, "user"]
    assert request.messages[-1].content == f"Instruction: {text}"
    assert [function.code for function in kept[0].functions] == [A]


def test_every_worked_example_judges_its_own_cases_right():
    turns = conversation("write_verifier_turns", instruction="x")
    examples = [verifier_reply(turn.content) for turn in turns if turn.role == "assistant"]
    functions = [Function(id=str(n), code=code) for n, (code, _) in enumerate(examples)]
    groups = [
        ((function,), [text for text, _ in cases]) for function, (_, cases) in zip(functions, examples, strict=True)
    ]
    with ExecutionEngine(ExecutionConfig(workers=1)) as engine:
        outcomes = [result.outcomes for (result,) in matrices(engine, groups)]
    expected = [tuple(Outcome.TRUE if right else Outcome.FALSE for _, right in cases) for _, cases in examples]
    assert outcomes == expected
    assert len(outcomes) == 5
