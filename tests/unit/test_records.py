"""Records: equal rows are equal bytes, what was written is read back, what is malformed is named."""

import json
from typing import get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoif.errors import DataError
from autoif.generation.codec import decode_answer, encode_answer
from autoif.generation.openai_replies import read
from autoif.records import (
    Answers,
    Case,
    Function,
    Instruction,
    Message,
    PreferencePair,
    Prompt,
    Query,
    Record,
    Reject,
    Rejected,
    Response,
    SftExample,
    Verifier,
    digest,
    encode,
    read_records,
    unicode,
    write_records,
)

KINDS = [Instruction, Function, Case, Verifier, Query, Prompt, Response, Answers, SftExample, PreferencePair, Message]
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SHARE = st.none() | st.floats(0, 1)


def build(kind, **fields):
    """Records of ``kind``; text that can be encoded where a field is text."""
    texts = {name: TEXT for name, hint in get_type_hints(kind).items() if hint is str}
    return st.builds(kind, **(texts | fields))


functions = build(Function, accuracy=SHARE)
instructions = build(Instruction)
responses = build(
    Response, accuracy=SHARE, score=st.none() | st.floats(0, 10), outcomes=st.lists(TEXT, max_size=3).map(tuple)
)
prompts = build(Prompt, functions=st.lists(functions, max_size=2).map(tuple))
rows = st.one_of(
    instructions,
    build(
        Verifier,
        instruction=instructions,
        functions=st.lists(functions, max_size=2).map(tuple),
        cases=st.lists(build(Case, accuracy=SHARE), max_size=2).map(tuple),
    ),
    build(Query),
    build(Answers, prompt=prompts, responses=st.lists(responses, max_size=3).map(tuple)),
    build(
        SftExample,
        messages=st.lists(build(Message), max_size=3).map(tuple),
        functions=st.lists(TEXT, max_size=2).map(tuple),
        accuracy=st.floats(0, 1),
        score=SHARE,
    ),
    build(
        PreferencePair,
        prompt=st.lists(build(Message), max_size=2).map(tuple),
        chosen_accuracy=st.floats(0, 1),
        rejected_accuracy=st.floats(0, 1),
    ),
)


@settings(max_examples=150, deadline=None)
@given(rows)
def test_a_record_is_one_line_and_decodes_to_itself(row):
    line = encode(row)
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=type(row)) == row
    assert encode(msgspec.json.decode(line, type=type(row))) == line


@settings(max_examples=50, deadline=None)
@given(row=rows, reason=TEXT, detail=TEXT)
def test_a_rejected_record_keeps_the_record_byte_for_byte(row, reason, detail):
    read = msgspec.json.decode(Reject(row, reason, detail).encode(), type=Rejected)
    assert (read.reason, bytes(read.record), read.detail) == (reason, encode(row), detail)


def test_files_round_trip_with_every_line_separator_inside_a_row(tmp_path):
    texts = ["a\nb", "c\u2028d\u2029e\x0bf\x0cg\x85h\x1ci", "\r\n", "", '"\\', "\0", "😀"]
    rows = [Query(id=str(number), text=text, source="test") for number, text in enumerate(texts)]
    assert write_records(tmp_path / "rows.jsonl", rows) == len(texts)
    assert list(read_records(tmp_path / "rows.jsonl", Query)) == rows


def test_rows_are_streamed(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(encode(Query(id="1", text="a", source="s")) + b"\nnot json\n")
    reader = read_records(path, Query)
    assert next(reader).id == "1"
    with pytest.raises(DataError, match=r"rows\.jsonl:2: not a Query record"):
        next(reader)


@pytest.mark.parametrize(
    "line",
    [b'{"id": "1"}', b"[1]", b'{"id": 1, "text": "a", "source": "s"}', b'{"id": "1", "text": "a", "sour', b'"\xff"'],
)
def test_a_malformed_row_is_named_by_file_and_line(tmp_path, line):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n" + line + b"\n")
    with pytest.raises(DataError, match=r"^\S*rows\.jsonl:2: not a Query record: [^\n]+$"):
        list(read_records(path, Query))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_records(path, [Query(id="old", text="a", source="s")])

    def broken():
        yield Query(id="new", text="a", source="s")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_records(path, broken())
    assert [row.id for row in read_records(path, Query)] == ["old"]


def test_digests_tell_parts_apart_and_stay_the_same():
    assert digest("a", "bc") != digest("ab", "c")
    assert digest("a", size=64)[:16] == digest("a") == "ca978112ca1bbdca"
    assert len(digest("\ud800")) == 16


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_rows_are_immutable_and_documented(kind):
    assert issubclass(kind, Record)
    assert kind.__struct_config__.frozen
    assert kind.__doc__


def test_half_a_surrogate_pair_from_a_server_can_be_stored():
    message = {"content": "a smile \ud83d cut in half"}
    (answer,) = read(json.dumps({"choices": [{"message": message, "finish_reason": "length"}]}).encode())
    assert decode_answer(encode_answer(answer)) == answer
    assert answer.text == "a smile \ufffd cut in half"
    assert unicode("whole 😀") == "whole 😀"
