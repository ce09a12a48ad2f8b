"""GRPO's groups: what an answer earns, what its group makes of that, and what no text can be paid for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import context, reasons, split

from autoif.config import QualityConfig
from autoif.records import Answers, Prompt, Response
from autoif.synthesis.groups import GroupsConfig, advantages, answer_groups
from autoif.synthesis.quality import compression, flaw, repetition

PROSE = (
    "The committee met on Tuesday to weigh three proposals for the bridge. Its members asked about cost, noise and "
    "the months in which boats could not pass; nobody left before the vote, which was close."
)
LOOP = "I am happy to help you today. " * 12


def answers(*responses):
    made = tuple(Response(index=i, text=t, accuracy=a, dropped=d) for i, (t, a, d) in enumerate(responses))
    prompt = Prompt(id="p", verifier_id="v", instruction="i", query="q", text="i q", functions=())
    return Answers(id="p", prompt=prompt, responses=made)


def groups(*rows, standardise=False, **quality):
    made = context(GroupsConfig(standardise=standardise, quality=QualityConfig(**quality)))
    kept, dropped = split(answer_groups(made, rows))
    return kept, dropped, made.facts


def test_the_reward_is_the_share_of_functions_passed_and_the_advantage_its_distance_from_the_mean():
    (group,), _, facts = groups(answers(("a", 1.0, None), ("b", 0.5, None), ("c", 0.0, "response_below_threshold")))
    assert [(a.reward, a.advantage) for a in group.answers] == [(1.0, 0.5), (0.5, 0.0), (0.0, -0.5)]
    assert facts["reward"] == facts["pass_rate"] == 0.5


def test_what_was_cut_off_or_says_nothing_earns_nothing_though_it_passes():
    row = answers((PROSE, 1.0, None), ("cut", 1.0, "cut_off"), ("", 1.0, "empty"), (LOOP, 1.0, None))
    (group,), _, facts = groups(row, max_repetition=0.3)
    assert [a.reward for a in group.answers] == [1.0, 0.0, 0.0, 0.0]
    assert [a.whole for a in group.answers] == [True, False, True, True]
    assert facts["flaws"] == {"cut_off": 1, "empty": 1, "repetitive": 1}
    assert (facts["pass_rate"], facts["reward"]) == (1.0, 0.25)


def test_groups_that_teach_nothing_are_dropped_and_answers_without_evidence_left_out():
    rows = answers(("a", 1.0, None), ("b", 1.0, None)), answers(("a", None, None)), answers(("a", 1.0, None))
    kept, dropped, _ = groups(*rows)
    assert (kept, reasons(dropped)) == ([], ["equal_rewards", "no_evidence", "equal_rewards"])
    (group,), _, _ = groups(answers(("a", 1.0, None), ("b", None, None), ("c", 0.0, None)))
    assert [a.text for a in group.answers] == ["a", "c"]


rewards = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=2, max_size=8).filter(lambda r: len(set(r)) > 1)


@given(rewards)
def test_advantages_have_mean_zero_and_on_demand_the_spread_one(values):
    plain, scaled = advantages(values, False), advantages(values, True)
    assert sum(plain) == pytest.approx(0, abs=1e-12)
    assert sum(a * a for a in scaled) == pytest.approx(len(values) - 1)
    assert sorted(range(len(values)), key=plain.__getitem__) == sorted(range(len(values)), key=scaled.__getitem__)


def test_prose_passes_the_guard_and_loops_do_not():
    limits = QualityConfig(max_repetition=0.3, max_compression=5.0, min_words=3)
    assert flaw(PROSE, limits) is None
    assert flaw(LOOP, limits) == "repetitive"
    assert flaw("ha" * 400, QualityConfig(max_compression=5.0)) == "compressible"
    assert flaw("Yes.", limits) == "too_short"
    assert flaw(LOOP, QualityConfig()) is None


def test_repetition_and_compression_grow_with_the_copies():
    assert repetition("one two three") == repetition("") == compression("") == 0.0
    assert repetition("a b c d A B C D a b c d") == pytest.approx(1 - 4 / 9)
    assert compression(PROSE) < 2.5 < 5.0 < compression(LOOP)
