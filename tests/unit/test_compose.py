"""Composition: only constraints that some answer meets together are joined, and all their functions must pass."""

import re

from scripted import context, reasons, split, verifier

from autoif.config import ComposeConfig, ComposeJudge, PromptOrder, VerifyResponsesConfig
from autoif.execution import Outcome
from autoif.generation import Completion
from autoif.records import Answers, Case, Query, Response
from autoif.synthesis.attach_queries import compose as joined
from autoif.synthesis.compose import compose
from autoif.synthesis.verify_responses import judge, verify_responses

LOWER = "def evaluate(response):\n    return response == response.lower()"
UPPER = "def evaluate(response):\n    return response.isupper()"
SHORT = "def evaluate(response):\n    return len(response.split()) <= 3"
COMMA = "def evaluate(response):\n    return ',' in response"


def yes(text):
    return Case(input=text, expected=True)


ROWS = {
    "lower": verifier(LOWER, cases=[yes("a small word"), Case(input="A", expected=False)], text="Use lower case."),
    "upper": verifier(UPPER, cases=[yes("A BIG WORD")], text="Use capitals"),
    "short": verifier(SHORT, cases=[yes("One two three")], text="Use three words at most."),
    "comma": verifier(COMMA, cases=[yes("Well, this is a much longer answer")], text="Use a comma."),
}


def run(engine, *names, answer="IMPOSSIBLE", **settings):
    reply = answer if callable(answer) else lambda request: answer
    made = context(ComposeConfig(**settings), reply, execution=engine)
    kept, dropped = split(compose(made, [ROWS[name] for name in names]))
    return kept, dropped, made


def test_by_execution_alone_a_test_case_must_meet_both(engine):
    kept, dropped, made = run(engine, "lower", "short", constraints=2, judge=ComposeJudge.execution)
    assert len(kept) == 1  # the pair is made once, whichever comes first
    assert {f.code for f in kept[0].functions} == {LOWER, SHORT}
    assert kept[0].instruction.constraints == 2
    assert kept[0].instruction.text == "Use lower case. Use three words at most."
    assert {(case.input, case.expected) for case in kept[0].cases} == {("a small word", True), ("One two three", False)}
    assert reasons(dropped) == ["no_partner"]
    assert made.facts["levels"] == {"2": 1}
    assert made.engines.supervisor.requests == []


def test_constraints_that_no_answer_meets_do_not_go_together(engine):
    kept, dropped, _ = run(engine, "lower", "upper", constraints=2, judge=ComposeJudge.execution)
    assert not kept
    assert reasons(dropped) == ["no_answer_meets_all", "no_partner"]


def test_the_supervisors_answer_counts_when_execution_confirms_it(engine):
    kept, _, made = run(engine, "lower", "comma", answer="yes, so it is", constraints=2)
    assert [(c.input, c.expected) for c in kept[0].cases if c.expected] == [("yes, so it is", True)]
    (request,) = made.engines.supervisor.requests
    assert "- Use lower case.\n- Use a comma.\n" in request.messages[0].content
    kept, dropped, _ = run(engine, "lower", "comma", answer="Yes, SO it is", constraints=2)
    assert (kept, dropped[0].reason) == ([], "no_answer_meets_all")


def test_what_the_supervisor_calls_impossible_is_not_composed_though_a_case_passes(engine):
    for word in ("IMPOSSIBLE", "**Impossible.**", "impossible, because"):
        kept, dropped, _ = run(engine, "lower", "short", answer=word, constraints=2)
        assert (kept, dropped[0].reason) == ([], "constraints_contradict")


def meets_all(request):
    """An answer as a capable model would write it."""
    wanted = request.messages[0].content
    words = ["so,", "it", "is"] if "comma" in wanted else ["so", "it", "is"]
    if "capitals" in wanted and "lower" in wanted:
        return "IMPOSSIBLE"
    return " ".join(words).upper() if "capitals" in wanted else " ".join(words)


def test_levels_grow_one_constraint_at_a_time_and_say_so(engine):
    kept, _, made = run(engine, *ROWS, answer=meets_all, constraints=3, attempts=9)
    assert kept
    assert all(row.instruction.constraints == 3 and len(row.functions) == 3 for row in kept)
    assert all(not {LOWER, UPPER} <= {f.code for f in row.functions} for row in kept)
    sets = [frozenset(row.instruction.parts) for row in kept]
    assert len(set(sets)) == len(sets)
    assert made.facts["levels"] == {"3": len(kept)}
    every, _, made = run(engine, *ROWS, answer=meets_all, constraints=3, attempts=9, each_level=True)
    levels = [row.instruction.constraints for row in every]
    assert levels.count(1) == 4
    assert set(levels) == {1, 2, 3}
    assert made.facts["levels"] == {str(n): levels.count(n) for n in (1, 2, 3)}


def test_attempts_bound_what_is_asked(engine):
    _, dropped, made = run(engine, *ROWS, constraints=2, attempts=1)
    assert len(made.engines.supervisor.requests) == 4
    assert set(reasons(dropped)) == {"constraints_contradict"}


def test_the_same_seed_composes_the_same(engine):
    first, again = (run(engine, *ROWS, answer=meets_all, constraints=2)[0] for _ in range(2))
    assert first == again


def test_all_functions_of_a_composed_prompt_must_pass(engine):
    (row, *_), _, _ = run(engine, "lower", "short", constraints=2, judge=ComposeJudge.execution)
    query = Query(id="q", text="What is it?", source="x")
    prompt = joined(row, query, order=PromptOrder.instruction_first)
    assert prompt.constraints == 2
    texts = ("a b c", "low but far too long", "SHOUT")
    responses = tuple(Response(index=i, text=text) for i, text in enumerate(texts))
    made = context(VerifyResponsesConfig(threshold=0.3), execution=engine)
    kept, _ = split(verify_responses(made, [Answers(id="p", prompt=prompt, responses=responses)]))
    assert [r.dropped for r in kept[0].responses] == [None, "constraint_not_met", "constraint_not_met"]


def test_a_crash_leaves_a_constraint_unmet_but_is_no_evidence_against_the_answer():
    response = Response(index=0, text="x", outcomes=(Outcome.TRUE.value, Outcome.ERROR.value))
    alone, together = (judge(response, VerifyResponsesConfig(), composed) for composed in (False, True))
    assert (alone.dropped, alone.accuracy) == (None, 1.0)
    assert (together.dropped, together.accuracy) == ("constraint_not_met", 1.0)


def test_the_prompt_states_how_impossibility_is_said():
    from autoif.synthesis.prompts import prompt_text

    assert re.search(r"\bIMPOSSIBLE\b", prompt_text("compose"))


def test_a_composed_heldout_prompt_is_followed_when_all_functions_say_so_and_is_counted_by_level(engine):
    from evaluation import heldout

    (row,), _, _ = run(engine, "lower", "short", constraints=2, judge=ComposeJudge.execution)
    query = Query(id="q", text="What is it?", source="x")
    prompts = [joined(row, query, PromptOrder.instruction_first), joined(ROWS["lower"], query, PromptOrder.query_first)]
    texts = {"both": "a b", "one": "low but far too long"}
    items = {
        name: list(heldout.score(engine, [(prompt, Completion(text=text)) for prompt in prompts], "m", 0.3))
        for name, text in texts.items()
    }
    assert [item.scores for item in items["both"]] == [
        {"followed": 1.0, "accuracy": 1.0, "followed_level_2": 1.0},
        {"followed": 1.0, "accuracy": 1.0},
    ]
    assert items["one"][0].scores == {"followed": 0.0, "accuracy": 0.5, "followed_level_2": 0.0}
    assert items["one"][1].scores["followed"] == 1.0
