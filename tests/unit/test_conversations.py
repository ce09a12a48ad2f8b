"""ShareGPT conversations as training data: roles, pieces, held-out queries, and a choice that the seed makes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import context, reasons, split

from autoif.config import DataConfig
from autoif.errors import DataError
from autoif.records import Message, Query, SftExample
from autoif.synthesis.conversations import MixConfig, load_conversations, mix_examples, turns


def talk(*said, key="conversations", who="from", what="value"):
    return {"id": "x", key: [{who: role, what: text} for role, text in said]}


def texts(messages):
    return [(message.role, message.content) for message in messages]


WHOLE = talk(("human", "Hi"), ("gpt", "Hello"), ("human", "Bye"), ("gpt", "See you"))


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        (WHOLE, [("user", "Hi"), ("assistant", "Hello"), ("user", "Bye"), ("assistant", "See you")]),
        (
            talk(("user", "a"), ("assistant", "b"), key="messages", who="role", what="content"),
            [("user", "a"), ("assistant", "b")],
        ),
        (talk(("system", "s"), ("human", "a"), ("bing", "b")), [("system", "s"), ("user", "a"), ("assistant", "b")]),
        (talk(("gpt", "before"), ("human", "a"), ("gpt", "b")), [("user", "a"), ("assistant", "b")]),
        (talk(("human", "a"), ("gpt", "b"), ("human", "unanswered")), [("user", "a"), ("assistant", "b")]),
        (talk(("human", "a"), ("gpt", "b"), ("gpt", "again"), ("human", "c")), [("user", "a"), ("assistant", "b")]),
        (talk(("human", "a"), ("gpt", "b"), ("human", " "), ("gpt", "c")), [("user", "a"), ("assistant", "b")]),
        (talk(("human", "a"), ("human", "b"), ("gpt", "c")), []),
        (talk(("human", "a")), []),
        ({"conversations": "none"}, []),
        (["a list"], []),
    ],
)
def test_what_is_kept_of_a_conversation(row, kept):
    assert texts(turns(row)) == kept


def load(tmp_path, rows, heldout=(), conversations=100, seed=0):
    path = tmp_path / "dump.json"
    path.write_text(json.dumps(rows))
    queries = [Query(id="q", text=text, source="sharegpt", split="heldout") for text in heldout]
    made = context(DataConfig(path=str(path), conversations=conversations), seed=seed)
    kept, dropped = split(load_conversations(made, queries))
    return kept, dropped, made.facts


def numbered(count):
    return [talk(("human", f"q{n}"), ("gpt", f"a{n}")) for n in range(count)]


def test_held_out_queries_duplicates_and_unanswered_turns_are_dropped_with_their_reason(tmp_path):
    rows = [WHOLE, WHOLE, talk(("human", "Held out?"), ("gpt", "yes")), talk(("human", "a"))]
    kept, dropped, facts = load(tmp_path, rows, heldout=["Held out?"])
    assert [texts(row.messages) for row in kept] == [texts(turns(WHOLE))]
    assert reasons(dropped) == ["duplicate", "heldout_query", "no_answered_turn"]
    assert facts["available"] == 1


def test_the_seed_chooses_as_many_as_are_asked_for_in_the_dumps_order(tmp_path):
    first, _, facts = load(tmp_path, numbered(50), conversations=10)
    again, _, _ = load(tmp_path, numbered(50), conversations=10)
    other, _, _ = load(tmp_path, numbered(50), conversations=10, seed=1)
    assert facts["available"] == 50
    assert first == again != other
    order = [int(row.messages[0].content[1:]) for row in first]
    assert len(order) == 10
    assert order == sorted(order)


def test_a_dump_that_is_not_named_or_holds_no_conversation_is_an_error_that_says_so(tmp_path):
    with pytest.raises(DataError, match=r"data\.path is not set"):
        list(load_conversations(context(DataConfig()), []))
    with pytest.raises(DataError, match="no conversation"):
        load(tmp_path, [talk(("human", "a"))])


def mixed(examples, general, share, seed=0):
    made = context(MixConfig(general_share=share), seed=seed)
    return [row.id for row in mix_examples(made, examples, general)], made.facts


def rows(prefix, count):
    said = (Message(role="user", content="q"), Message(role="assistant", content="a"))
    return [
        SftExample(id=f"{prefix}{n}", messages=said, instruction="", functions=(), accuracy=1.0) for n in range(count)
    ]


@given(examples=st.integers(0, 60), general=st.integers(0, 60), share=st.floats(0, 0.9))
def test_a_mix_holds_every_verified_answer_and_its_share_of_conversations_as_far_as_there_are(examples, general, share):
    ids, facts = mixed(rows("a", examples), rows("g", general), share)
    assert ids[:examples] == [f"a{n}" for n in range(examples)]
    beside = ids[examples:]
    assert beside == [f"g{n}" for n in range(general) if f"g{n}" in beside]  # each once, in order
    assert len(beside) == facts["general"] == min(general, facts["wanted"])
    assert abs(facts["wanted"] - share * (examples + facts["wanted"])) <= 0.5


def test_the_seed_chooses_the_conversations_of_a_mix():
    first, _ = mixed(rows("a", 40), rows("g", 50), 0.2)
    assert len(first) == 50
    assert first == mixed(rows("a", 40), rows("g", 50), 0.2)[0] != mixed(rows("a", 40), rows("g", 50), 0.2, seed=1)[0]
