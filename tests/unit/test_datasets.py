"""Training sets: what becomes a sample, what becomes a pair, and that no crash is ever a negative."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import context, reasons, split, verifier

from autoif.config import PreferenceConfig, QualityConfig, SftDatasetConfig
from autoif.records import Answers, Case, Function, Prompt, Response
from autoif.synthesis.datasets import OnlinePairsConfig, online_pairs, preference_dataset, sampled, sft_dataset

LOWER = "def evaluate(response):\n    return response == response.lower()"
ONLINE = OnlinePairsConfig(preference=PreferenceConfig(), quality=QualityConfig())
BROKEN = "def evaluate(response):\n    return response.no_such_method()"


def answers(*responses, number=0):
    """Responses as (text, accuracy, score, dropped), cut short where the rest is default."""
    names = ("text", "accuracy", "score", "dropped")
    made = tuple(Response(index=i, **dict(zip(names, r, strict=False))) for i, r in enumerate(responses))
    prompt = Prompt(
        id=f"p{number}",
        verifier_id="v",
        instruction="Use lower case.",
        query="q",
        text=f"Use lower case.\nq{number}",
        functions=(Function(id="f", code=LOWER),),
    )
    return Answers(id=f"p{number}", prompt=prompt, responses=made)


def sft(*rows, **fields):
    return list(sft_dataset(context(SftDatasetConfig(**fields)), rows))


def prefer(engine, rows=(), verifiers=(), **fields):
    made = context(PreferenceConfig(**fields), execution=engine)
    return split(preference_dataset(made, rows, verifiers))


def test_kept_responses_become_samples_best_first_and_none_twice():
    row = answers(
        ("b", 0.6, 9), ("bad", 0.2, 9, "response_below_threshold"), ("a", 1.0, 8), ("a", 1.0, 10), ("c", 1.0, 10)
    )
    samples = sft(row)
    assert [(s.messages[-1].content, s.accuracy, s.score) for s in samples] == [
        ("a", 1.0, 10),
        ("c", 1.0, 10),
        ("b", 0.6, 9),
    ]
    assert [m.role for m in samples[0].messages] == ["user", "assistant"]
    assert samples[0].messages[0].content == "Use lower case.\nq0"
    assert samples[0].functions == (LOWER,)
    assert len({s.id for s in samples}) == 3
    assert [s.messages[-1].content for s in sft(row, per_prompt=1)] == ["a"]


def test_pairs_take_the_best_and_the_first_of_accuracy_zero_capped_on_both_sides(engine):
    row = answers(
        ("ok", 0.6, 9),
        ("best", 1.0, 9),
        ("half", 0.5, 9),
        ("WORST", 0.0),
        ("good", 0.8, 9),
        ("WORST", 0.0),
        ("BAD", 0.0),
        ("LOW", 0.0),
    )
    pairs, dropped = prefer(engine, [row])
    assert [(p.chosen, p.rejected) for p in pairs] == [
        ("best", "WORST"),
        ("best", "BAD"),
        ("good", "WORST"),
        ("good", "BAD"),
    ]
    assert {(p.chosen_accuracy, p.rejected_accuracy, p.level) for p in pairs[:1]} == {(1.0, 0.0, "query")}
    assert not dropped
    assert len(prefer(engine, [row], max_chosen=3, max_rejected=3)[0]) == 9
    assert len(prefer(engine, [row], max_chosen=1, max_rejected=1)[0]) == 1


def test_pairs_of_like_length_are_as_many_and_no_answer_is_in_more_of_them(engine):
    row = answers(
        ("ok", 0.6, 9),
        ("one two three", 1.0, 9),
        ("one", 1.0, 9),
        ("BAD " * 9, 0.0),
        ("BAD " * 3, 0.0),
        ("BAD " * 30, 0.0),
        ("BAD", 0.0),
    )
    found = lambda **caps: [(p.chosen, len(p.rejected.split())) for p in prefer(engine, [row], **caps)[0]]  # noqa: E731
    assert found(max_chosen=1, max_rejected=1) == [("one two three", 9)]
    assert found(max_chosen=1, max_rejected=1, match_length=True) == [("one two three", 3)]
    assert found(match_length=True) == [("one two three", 3), ("one", 1), ("one two three", 1), ("one", 3)]
    assert len(found(max_chosen=3, max_rejected=3, match_length=True)) == 9
    assert not prefer(engine, [answers(("ok", 1.0))], match_length=True)[0]


def test_one_half_is_not_chosen_and_more_than_zero_is_not_rejected(engine):
    assert prefer(engine, [answers(("half", 0.5), ("BAD", 0.0))])[0] == []
    assert prefer(engine, [answers(("good", 1.0), ("bad", 0.1))])[0] == []


def test_what_a_judge_or_a_cut_dropped_is_never_chosen(engine):
    row = answers(("low score", 1.0, 3, "score_below_threshold"), ("cut", 1.0, None, "cut_off"), ("BAD", 0.0))
    pairs, dropped = prefer(engine, [row])
    assert (pairs, reasons(dropped)) == ([], ["nothing_to_choose"])


def test_upstream_fault_2_a_response_no_function_could_judge_is_never_rejected(engine):
    pairs, dropped = prefer(engine, [answers(("good", 1.0), ("unjudged", None, None, "no_evidence"))])
    assert (pairs, reasons(dropped)) == ([], ["nothing_to_reject"])


def test_an_empty_response_is_no_lesson(engine):
    assert prefer(engine, [answers(("good", 1.0), ("", 0.0))])[0] == []


def cases(*texts):
    return [Case(input=text, expected=True) for text in texts]


def test_instruction_level_pairs_come_from_the_test_cases(engine):
    row = verifier(LOWER, LOWER + "\n", cases=cases("low", "HIGH", "lower", "lowest"))
    pairs, _ = prefer(engine, [], [row])
    assert [(p.chosen, p.rejected, p.level) for p in pairs] == [
        ("low", "HIGH", "instruction"),
        ("lower", "HIGH", "instruction"),
    ]
    assert pairs[0].prompt[0].content == row.instruction.text
    assert prefer(engine, [], [row], instruction_level=False) == ([], [])


def test_a_function_that_crashes_on_every_case_makes_no_instruction_level_negative(engine):
    pairs, dropped = prefer(engine, [], [verifier(BROKEN, cases=cases("a", "B"))])
    assert (pairs, reasons(dropped)) == ([], ["nothing_to_choose"])
    pairs, _ = prefer(engine, [], [verifier(BROKEN, LOWER, cases=cases("a", "B"))])
    assert [(p.chosen, p.rejected) for p in pairs] == [("a", "B")]


def test_query_level_comes_first_and_ids_are_distinct(engine):
    rows = [answers(("good", 1.0), ("BAD", 0.0), number=n) for n in range(3)]
    pairs, _ = prefer(engine, rows, [verifier(LOWER, cases=cases("a", "B"))])
    assert [p.level for p in pairs] == ["query"] * 3 + ["instruction"]
    assert len({p.id for p in pairs}) == 4


def test_online_pairs_are_made_alike():
    pairs, dropped = split(
        online_pairs(context(ONLINE), [answers(("good", 1.0), ("BAD", 0.0)), answers(("good", 1.0))])
    )
    assert [p.level for p in pairs] == ["online"]
    assert reasons(dropped) == ["nothing_to_reject"]


def test_own_answers_with_a_flaw_are_not_chosen_and_are_counted():
    loop = "all is well and good and " * 20
    config = OnlinePairsConfig(preference=PreferenceConfig(), quality=QualityConfig(max_repetition=0.5))
    made = context(config)
    pairs, dropped = split(
        online_pairs(made, [answers((loop, 1.0), ("short", 1.0), ("BAD", 0.0)), answers((loop, 1.0), ("BAD", 0.0))])
    )
    assert [p.chosen for p in pairs] == ["short"]
    assert reasons(dropped) == ["nothing_to_choose"]
    assert made.facts["flaws"] == {"repetitive": 2}


def test_a_rejected_answer_that_was_cut_off_says_so():
    (pair,), _ = split(online_pairs(context(ONLINE), [answers(("good", 1.0), ("BAD an", 0.0, None, "cut_off"))]))
    assert not pair.rejected_whole


@pytest.mark.parametrize("fraction", [0.0, 1 / 64, 0.5, 1.0])
def test_a_fraction_is_about_that_share_and_larger_ones_contain_it(fraction):
    rows = [answers(("a", 1.0), number=n) for n in range(400)]
    ids = {s.id for s in sft(*rows, fraction=fraction)}
    assert abs(len(ids) - 400 * fraction) <= 40
    assert ids <= {s.id for s in sft(*rows, fraction=min(1.0, fraction * 1.5))}


@given(st.text(), st.integers(0, 99), st.floats(0, 1), st.floats(0, 1))
def test_fractions_nest_for_every_row(key, seed, one, other):
    small, large = sorted((one, other))
    assert sampled(key, seed, 1.0)
    assert not sampled(key, seed, 0.0)
    assert sampled(key, seed, large) or not sampled(key, seed, small)
