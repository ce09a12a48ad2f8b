"""Prompts: every instruction with its own draw of training queries; held-out prompts of what was never trained on."""

from collections import Counter

import pytest
from scripted import context, verifier

from autoif.config import PromptOrder, QueriesConfig
from autoif.errors import DataError
from autoif.records import Query
from autoif.synthesis.attach_queries import HeldoutPromptsConfig, attach_queries, heldout_prompts, join, sentence_end

VERIFIERS = [verifier("code", text=f"Write {n} lines") for n in range(6)]
POOL = [Query(id=str(n), text=f"Query {n}?", source="s", split="heldout" if n % 4 == 0 else "train") for n in range(40)]
HELD = {query.text for query in POOL if query.split == "heldout"}


def attach(verifiers=VERIFIERS, pool=POOL, seed=0, **fields):
    return list(attach_queries(context(QueriesConfig(**{"per_instruction": 5} | fields), seed=seed), verifiers, pool))


def compose(limit, verifiers=VERIFIERS, pool=POOL, seed=0):
    config = HeldoutPromptsConfig(limit=limit, order=PromptOrder.instruction_first)
    return list(heldout_prompts(context(config, seed=seed), verifiers, pool))


def by_instruction(prompts):
    groups = {}
    for prompt in prompts:
        groups.setdefault(prompt.instruction, []).append(prompt.query)
    return groups


def test_each_instruction_gets_its_number_of_distinct_training_queries():
    groups = by_instruction(attach())
    assert len(groups) == 6
    assert all(len(set(group)) == 5 for group in groups.values())
    assert len({tuple(group) for group in groups.values()}) == 6
    assert not HELD & {query for group in groups.values() for query in group}


def test_held_out_queries_are_never_drawn_and_never_trained_on():
    trained = {prompt.query for prompt in attach(per_instruction=100)}
    assert trained == {query.text for query in POOL if query.split == "train"}
    assert {prompt.query for prompt in compose(60)} == HELD


def test_a_draw_depends_on_seed_and_instruction_not_on_its_neighbours():
    groups = by_instruction(attach())
    assert by_instruction(attach(VERIFIERS[::-1])) == groups
    assert by_instruction(attach(VERIFIERS[2:3])) == {"Write 2 lines": groups["Write 2 lines"]}
    assert by_instruction(attach(seed=1)) != groups


def test_prompts_carry_functions_and_stable_distinct_ids():
    prompts = attach()
    assert len({prompt.id for prompt in prompts}) == len(prompts) == 30
    assert [prompt.id for prompt in attach()] == [prompt.id for prompt in prompts]
    assert {prompt.functions for prompt in prompts} == {VERIFIERS[0].functions}


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (PromptOrder.instruction_first, "Write 0 lines.\nQuery 1?"),
        (PromptOrder.query_first, "Query 1?\nWrite 0 lines."),
    ],
)
def test_the_order_of_instruction_and_query_is_the_papers_or_upstreams(order, text):
    (prompt,) = attach(VERIFIERS[:1], POOL[1:2], order=order)
    assert prompt.text == text
    assert prompt.instruction == "Write 0 lines"


def test_varied_prompts_take_every_order_about_as_often_and_always_the_same_for_the_same_text():
    asked = [("Write 0 lines", f"Query {number}?") for number in range(300)]
    forms = Counter(join(*pair, PromptOrder.varied).replace(pair[1], "Q") for pair in asked)
    assert set(forms) == {"Q Write 0 lines.", "Q\nWrite 0 lines.", "Write 0 lines.\nQ"}
    assert min(forms.values()) > 70
    first = [join(*pair, PromptOrder.varied) for pair in asked[:3]]
    assert first == ["Write 0 lines.\nQuery 0?", "Query 1?\nWrite 0 lines.", "Write 0 lines.\nQuery 2?"]


def test_text_that_looks_like_a_template_stays_as_it_is():
    (prompt,) = attach(
        [verifier("c", text="Use $query and ${x} $")], [Query(id="1", text="$instruction {y}", source="s")]
    )
    assert prompt.text == "Use $query and ${x} $.\n$instruction {y}"


@pytest.mark.parametrize(
    ("text", "end"), [("Use a", "Use a."), ("Use a.", "Use a."), ('Say "a"', 'Say "a"'), ("Why?", "Why?")]
)
def test_a_sentence_ends_once(text, end):
    assert sentence_end(text) == end


@pytest.mark.parametrize("limit", [1, 6, 17, 59, 60, 61, 500])
def test_held_out_prompts_take_instructions_in_turn_and_no_pair_twice(limit):
    prompts = compose(limit)
    pairs = [(prompt.instruction, prompt.query) for prompt in prompts]
    assert len(pairs) == len(set(pairs)) == min(limit, 6 * len(HELD))
    counts = [len(group) for group in by_instruction(prompts).values()]
    assert max(counts) - min(counts) <= 1
    assert prompts == compose(500)[: len(prompts)]


def test_nothing_to_compose_says_what_to_do():
    with pytest.raises(DataError, match=r"of 0 verified instructions and 10 held-out queries: raise pipeline"):
        compose(4, verifiers=[])
    with pytest.raises(DataError, match="of 6 verified instructions and 0 held-out queries"):
        compose(4, pool=[query for query in POOL if query.split == "train"])
