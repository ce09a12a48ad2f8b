"""Responses: sampled, verified by execution, scored; what is dropped keeps its reason and stays visible."""

from types import SimpleNamespace

import pytest
from scripted import Scripted, context, failure, reasons, split

from autoif.config import RespondConfig, ScoreConfig, VerifyResponsesConfig
from autoif.generation import Completion, Failure
from autoif.records import Answers, Function, Prompt, Response
from autoif.synthesis.respond import SampleConfig, respond, sample, window
from autoif.synthesis.score import score
from autoif.synthesis.verify_responses import verify_responses, verify_samples

LOWER = "def evaluate(response):\n    return response == response.lower()"
SHORT = "def evaluate(response):\n    return len(response) < 20"
EXCLAIMS = "def evaluate(response):\n    return '!' in response"
BROKEN = "def evaluate(response):\n    return response.no_such_method()"
FORGETFUL = "def evaluate(response):\n    if 'please' in response:\n        return True"


def prompt(number=0, *codes):
    return Prompt(
        id=f"p{number}",
        verifier_id="v",
        instruction="Use lower case.",
        query=f"Query {number}?",
        text=f"Use lower case.\nQuery {number}?",
        functions=tuple(Function(id=str(n), code=code) for n, code in enumerate(codes)),
    )


def answers(*texts, functions=(LOWER, SHORT), number=0):
    responses = tuple(t if isinstance(t, Response) else Response(index=i, text=t) for i, t in enumerate(texts))
    return Answers(id=f"p{number}", prompt=prompt(number, *functions), responses=responses)


# --- respond


def test_every_prompt_is_answered_k_times_and_answers_belong_to_their_prompt():
    made = context(RespondConfig(samples=3), lambda r: f"{r.messages[0].content[-8:]} {r.index}", seed=5)
    kept, dropped = split(respond(made, [prompt(n) for n in range(4)]))
    assert [[r.text for r in row.responses] for row in kept] == [
        [f"Query {n}? {k}"[-10:] for k in range(3)] for n in range(4)
    ]
    assert [row.prompt.query for row in kept] == [f"Query {n}?" for n in range(4)]
    assert not dropped
    assert {r.seed for r in made.engines.supervisor.requests} == {5}


def test_empty_and_cut_off_answers_are_marked_and_failures_kept_as_evidence():
    replies = {
        0: "  fine \n",
        1: " \n",
        2: Completion(text="cut", finish="length"),
        3: Failure(reason="context_length"),
    }
    (row,), dropped = split(respond(context(RespondConfig(samples=4), lambda r: replies[r.index]), [prompt()]))
    assert [(r.index, r.text, r.dropped) for r in row.responses] == [
        (0, "fine", None),
        (1, "", "empty"),
        (2, "cut", "cut_off"),
    ]
    assert [(r.reason, r.record.id, r.record.index) for r in dropped] == [("context_length", "p0", 3)]


def test_a_prompt_without_any_answer_is_dropped():
    kept, dropped = split(respond(context(RespondConfig(samples=2), failure), [prompt(0), prompt(1)]))
    assert (kept, reasons(dropped)) == ([], ["content_filter", "content_filter", "no_response"] * 2)


def test_online_sampling_asks_the_trained_model_what_it_will_be_asked_and_closes_it(tmp_path):
    policy = Scripted(lambda r: r.messages[0].content)
    asked = []

    def open_policy(folder, identity):
        asked.append((folder, identity))
        return policy

    config = SampleConfig(iteration=1, samples=2, temperature=0.8, top_p=0.9, max_tokens=5, prompts=2)
    made = context(config)
    made.engines = SimpleNamespace(policy=open_policy)
    model = SimpleNamespace(files=tmp_path, entry=SimpleNamespace(fingerprint="abc"))
    pool = [prompt(n) for n in range(5)]
    rows = list(sample(made, pool, model))
    assert asked == [(tmp_path / "model", "abc")]
    assert policy.closed == 1
    assert [[r.text for r in row.responses] for row in rows] == [
        [p.text] * 2 for p in window(pool, 1, 2, seed=made.seed)
    ]
    assert {(r.sampling.temperature, r.sampling.top_p, r.sampling.max_tokens) for r in policy.requests} == {
        (0.8, 0.9, 5)
    }


def test_each_iteration_is_dealt_other_prompts_until_all_were_asked_and_then_starts_again():
    pool = [prompt(n) for n in range(6)]
    taken = [[p.id for p in window(pool, iteration, 2, seed=0)] for iteration in (1, 2, 3, 4)]
    assert sorted(taken[0] + taken[1] + taken[2]) == [p.id for p in pool]
    assert taken[3] == taken[0]
    assert all(ids == sorted(ids) for ids in taken)
    assert list(window([], 2, 3, seed=0)) == []


def test_a_round_of_all_prompts_takes_them_as_they_lie():
    pool = [prompt(n) for n in range(5)]
    assert list(window(pool, 3, None, seed=0)) == list(window(pool, 1, 9, seed=0)) == pool


def test_a_round_sees_instructions_from_all_over_the_rows():
    pool = [prompt(n) for n in range(300)]
    tenths = {pool.index(p) // 30 for p in window(pool, 1, 60, seed=0)}
    assert tenths == set(range(10))


# --- verify


def verify(engine, *rows, threshold=0.5):
    return split(verify_responses(context(VerifyResponsesConfig(threshold=threshold), execution=engine), rows))


def test_responses_above_one_half_are_kept_with_their_outcomes(engine):
    row = answers("short and low", "short and High", "LONG and high, far too long", functions=(LOWER, SHORT))
    (kept,), dropped = verify(engine, row)
    assert [(r.accuracy, r.dropped) for r in kept.responses] == [
        (1.0, None),
        (0.5, "response_below_threshold"),
        (0.0, "response_below_threshold"),
    ]
    assert [r.outcomes for r in kept.responses] == [("true", "true"), ("false", "true"), ("false", "false")]
    assert reasons(dropped) == ["response_below_threshold"] * 2
    assert [r.record.responses[0].index for r in dropped] == [1, 2]


@pytest.mark.parametrize(("threshold", "kept"), [(0.0, 2), (0.49, 2), (0.5, 1), (0.99, 1), (1.0, 0)])
def test_accuracy_must_exceed_the_threshold(engine, threshold, kept):
    rows, _ = verify(engine, answers("low", "High", "HIGH and far too long, too"), threshold=threshold)
    assert sum(r.dropped is None for row in rows for r in row.responses) == kept


def test_upstream_fault_2_a_function_that_crashes_on_every_response_makes_no_negative(engine):
    kept, dropped = verify(engine, answers("low", "High", functions=(BROKEN,)))
    assert kept == []
    assert reasons(dropped) == ["no_evidence", "no_evidence", "no_response_passed"]
    assert [r.accuracy for r in dropped[-1].record.responses] == [None, None]
    (row,), _ = verify(engine, answers("low", "High", functions=(BROKEN, LOWER)))
    assert [(r.accuracy, r.outcomes) for r in row.responses] == [(1.0, ("error", "true")), (0.0, ("error", "false"))]


def test_a_function_that_forgets_its_last_return_means_false(engine):
    (row,), _ = verify(engine, answers("yes please", "no", functions=(FORGETFUL,)))
    assert [(r.accuracy, r.outcomes) for r in row.responses] == [(1.0, ("true",)), (0.0, ("none",))]


def test_what_was_dropped_before_stays_dropped_but_is_judged(engine):
    row = answers("low", Response(index=1, text="low", dropped="cut_off"), Response(index=2, text="", dropped="empty"))
    (kept,), dropped = verify(engine, row)
    assert [(r.accuracy, r.dropped) for r in kept.responses] == [(1.0, None), (1.0, "cut_off"), (1.0, "empty")]
    assert reasons(dropped) == ["cut_off", "empty"]


def test_a_prompt_without_functions_gives_no_evidence(engine):
    kept, dropped = verify(
        engine, answers("a", functions=()), answers("low", number=1), answers("b", functions=(), number=2)
    )
    assert [row.id for row in kept] == ["p1"]
    assert reasons(dropped) == ["no_evidence", "no_response_passed"] * 2


def test_the_models_own_samples_are_judged_and_all_stay(engine):
    rows = list(
        verify_samples(
            context(VerifyResponsesConfig(), execution=engine), [answers("HIGH and far too long to be short")]
        )
    )
    assert [r.accuracy for r in rows[0].responses] == [0.0]


# --- score


def rate(rows, answer, **fields):
    made = context(ScoreConfig(**fields), answer)
    return (*split(score(made, rows)), made.engines.supervisor.requests)


def test_eight_of_ten_is_kept_and_less_is_not():
    replies = {"a": "Good.\nScore: 8", "b": "Score: 7.5", "c": "**Score:** 10/10"}
    (row,), dropped, _ = rate(
        [answers("a", "b", "c")], lambda r: replies[r.messages[0].content.split("[Answer]\n")[1][0]]
    )
    assert [(r.score, r.dropped) for r in row.responses] == [(8, None), (7.5, "score_below_threshold"), (10, None)]
    assert [(r.reason, r.record.responses[0].text, r.detail) for r in dropped] == [
        ("score_below_threshold", "b", "Score: 7.5")
    ]


def test_only_what_passed_is_scored():
    row = answers("a", Response(index=1, text="b", dropped="cut_off"), "c")
    (kept,), _, requests = rate([row], lambda r: "Score: 9")
    assert len(requests) == 2
    assert [(r.score, r.dropped) for r in kept.responses] == [(9, None), (None, "cut_off"), (9, None)]


def test_an_unreadable_score_is_no_score():
    kept, dropped, _ = rate([answers("a")], lambda r: "I like it.")
    assert (kept, [(r.reason, r.detail) for r in dropped]) == (
        [],
        [("score_unreadable", "I like it."), ("no_response_left", "")],
    )
    kept, dropped, _ = rate([answers("a")], failure)
    assert (kept, reasons(dropped)) == ([], ["not_scored", "no_response_left"])


def test_the_mean_of_several_scores_counts_over_those_that_can_be_read():
    said = iter(["Score: 9", "Hm.", "Score: 6"])
    kept, _, requests = rate([answers("a")], lambda r: next(said), samples=3, temperature=1.0, threshold=7.0)
    assert kept[0].responses[0].score == 7.5
    assert [request.index for request in requests] == [0, 1, 2]


def test_a_scale_from_zero_is_asked_for_by_its_own_prompt():
    _, _, (request,) = rate([answers("a")], lambda r: "Score: 0", lowest=0)
    assert "from 0" in request.messages[0].content
    _, _, (request,) = rate([answers("a")], lambda r: "Score: 0")
    assert "from 1" in request.messages[0].content


def test_the_judge_sees_instruction_query_and_response():
    *_, (request,) = rate([answers("the answer")], lambda r: "Score: 9")
    for part in ("Use lower case.", "Query 0?", "the answer"):
        assert part in request.messages[0].content
