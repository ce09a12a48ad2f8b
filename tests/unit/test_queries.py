"""User queries: every ShareGPT shape, malformed rows with reasons, flat memory, a held-out split that stays put."""

import json
import os
import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import context, reasons, split

from autoif.config import QueriesConfig, QuerySource
from autoif.errors import DataError
from autoif.jsonrows import list_rows
from autoif.records import encode
from autoif.synthesis.queries import content_id, first_turn, load_queries

TEXTS = [f"What is the capital of country number {n}?" for n in range(40)]


def raw(*texts):
    """Conversations as in the published dump."""
    turns = [{"from": "gpt", "value": "Yes."}]
    return [{"id": f"x{n}_0", "conversations": [{"from": "human", "value": t}, *turns]} for n, t in enumerate(texts)]


def run(path, seed=0, **fields):
    config = QueriesConfig(source=QuerySource.sharegpt, path=str(path), **{"heldout": 3} | fields)
    return split(load_queries(context(config, seed=seed)))


@pytest.fixture
def write(tmp_path):
    """Write a dump: a list as JSON, text as it is, bytes too."""

    def to(content, name="dump.json"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return to


def lines(rows):
    return "\n".join(json.dumps(row) for row in rows).encode()


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(raw(*TEXTS)).encode(),
        json.dumps(raw(*TEXTS), indent=2).encode(),
        b"\xef\xbb\xbf" + json.dumps(raw(*TEXTS)).encode(),
        b"\n  " + json.dumps(raw(*TEXTS)).encode() + b"\n",
        lines(raw(*TEXTS)),
        lines(raw(*TEXTS)) + b"\n\n",
        b"\xef\xbb\xbf" + lines(raw(*TEXTS)),
        lines({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": t}]} for t in TEXTS),
        lines({"items": [{"from": "user", "value": f" {t}\n"}]} for t in TEXTS),
        json.dumps(
            [{"conversations": [{"from": "gpt", "value": "x"}, {"from": "human", "value": t}]} for t in TEXTS]
        ).encode(),
    ],
    ids=["list", "indented", "bom", "space", "jsonl", "blank lines", "jsonl bom", "messages", "items", "gpt first"],
)
def test_every_shape_of_sharegpt_gives_its_first_user_turns(write, content):
    kept, dropped = run(write(content))
    assert [query.text for query in kept] == TEXTS
    assert dropped == []
    assert {query.source for query in kept} == {"sharegpt"}
    assert sum(query.split == "heldout" for query in kept) == 3


@pytest.mark.parametrize(
    "row",
    [
        *(3, None, "text", [], {}),
        *({"conversations": turns} for turns in (None, [], [3, None, {}], [{"from": "gpt", "value": "only me"}])),
        *({"conversations": [{"from": name, "value": text}]} for name, text in ((["human"], "x"), ("human", " "))),
        *({"messages": [{"role": "user", "content": content}]} for content in (None, [{"type": "image"}])),
    ],
)
def test_a_row_without_a_user_turn_is_skipped_with_its_reason(write, row):
    assert first_turn(row) is None
    kept, dropped = run(write([*raw(*TEXTS[:10]), row, *raw(*TEXTS[10:])]))
    assert [query.text for query in kept] == TEXTS
    assert [(r.reason, r.record.index, r.record.text) for r in dropped] == [("no_user_turn", 10, json.dumps(row))]


@pytest.mark.parametrize(
    "line", [b"{broken", b'{"id": "x", "conv', b'{"a":' * 20_000, b"\xff\xfe", b'{"n": ' + b"9" * 5000 + b"}"]
)
def test_a_malformed_line_is_skipped_with_its_reason(write, line):
    kept, dropped = run(write(lines(raw(*TEXTS[:10])) + b"\n" + line + b"\n" + lines(raw(*TEXTS[10:]))))
    assert [query.text for query in kept] == TEXTS
    assert [(r.reason, r.record.index) for r in dropped] == [("malformed_row", 10)]
    assert dropped[0].detail
    assert len(dropped[0].record.text) <= 500


def test_lengths_are_exclusive_bounds_and_duplicates_count_once(write):
    texts = ["x" * 20, "x" * 21, "y" * 299, "y" * 300, " " + "x" * 21 + " ", *TEXTS]
    kept, dropped = run(write(raw(*texts)))
    assert [len(query.text) for query in kept[:2]] == [21, 299]
    assert reasons(dropped) == ["length", "length", "duplicate"]


def test_half_a_surrogate_pair_in_a_dump_can_be_stored(write):
    kept, _ = run(write(json.dumps(raw("A smile \ud83d that was cut in half", *TEXTS)).encode()))
    assert kept[0].text == "A smile \ufffd that was cut in half"
    assert encode(kept[0])


@pytest.mark.parametrize(
    ("content", "say"),
    [
        (json.dumps(raw(*TEXTS)).encode()[:-1], "breaks off or is malformed"),
        (json.dumps(raw(*TEXTS)).encode()[:-40], "breaks off or is malformed"),
        (b'[{"id": 1}, {broken}, {"id": 2}]', "breaks off or is malformed"),
        (b"[" * 100_000, "breaks off or is malformed"),
        (b'[{"a":' + b"[" * 100_000, "breaks off or is malformed"),
        (b"", "neither a JSON list nor JSONL"),
        (b"id,query\n1,What?\n", "neither a JSON list nor JSONL"),
        (b"\x1f\x8b\x08", "neither a JSON list nor JSONL"),
        (json.dumps(raw(*TEXTS)).encode() * 2, "ends before the file does"),
        (b"[]", "0 usable queries, 3 of them to be held out"),
        (json.dumps(raw(*TEXTS[:3])).encode(), "3 usable queries"),
    ],
)
def test_a_broken_dump_is_one_line_that_names_it(write, content, say):
    with pytest.raises(DataError, match=rf"^[^\n]*dump\.json[^\n]*{say}[^\n]*$"):
        run(write(content))


def test_a_missing_dump_says_which_setting_names_it(tmp_path):
    with pytest.raises(DataError, match=r"^pipeline\.queries\.path \S+none\.json: No such file or directory$"):
        run(tmp_path / "none.json")
    with pytest.raises(DataError, match=r"Is a directory"):
        run(tmp_path)
    with pytest.raises(DataError, match=r"needs pipeline\.queries\.path"):
        list(load_queries(context(QueriesConfig(source=QuerySource.sharegpt))))


def test_the_held_out_split_is_chosen_by_content_not_by_place(write):
    shuffled = TEXTS[:]
    random.Random(1).shuffle(shuffled)
    held = [
        {q.text for q in run(write(raw(*texts)), heldout=8)[0] if q.split == "heldout"} for texts in (TEXTS, shuffled)
    ]
    assert held[0] == held[1]
    assert len(held[0]) == 8
    other = {q.text for q in run(write(raw(*TEXTS)), heldout=8, seed=1)[0] if q.split == "heldout"}
    assert other != held[0]


def test_a_larger_held_out_set_contains_the_smaller(write):
    path = write(raw(*TEXTS))
    small, large = ({q.id for q in run(path, heldout=n)[0] if q.split == "heldout"} for n in (4, 9))
    assert small < large


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=8), st.integers(1, 9))
def test_a_list_reads_the_same_whatever_the_block_size(tmp_path_factory, texts, block):
    path = tmp_path_factory.mktemp("blocks") / "dump.json"
    path.write_text(json.dumps(raw(*texts), ensure_ascii=False, indent=1), encoding="utf-8")
    with path.open("rb") as file:
        assert list(list_rows(file, "dump", block)) == raw(*texts)


def dump(path, megabytes, jsonl):
    """A dump of about so many megabytes: long conversations whose first turns are short."""
    rest = [{"from": "gpt", "value": "word " * 800}] * 4
    row = {"id": "x", "conversations": [{"from": "human", "value": ""}, *rest]}
    size = len(json.dumps(row))
    with path.open("w") as out:
        out.write("" if jsonl else "[")
        for number in range(megabytes * 1_000_000 // size):
            row["conversations"][0]["value"] = f"What is question number {number}?"
            out.write(("" if not number else "\n" if jsonl else ",\n") + json.dumps(row))
        out.write("" if jsonl else "]")
    return number + 1


@pytest.mark.parametrize("jsonl", [False, True], ids=["list", "jsonl"])
def test_a_large_dump_streams(tmp_path, jsonl):
    path = tmp_path / "dump.json"
    rows = dump(path, 20, jsonl)
    config = QueriesConfig(source=QuerySource.sharegpt, path=str(path), heldout=3)
    tracemalloc.start()
    count = sum(1 for _ in load_queries(context(config)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == rows
    assert peak < 12_000_000


def test_the_shipped_list_has_200_everyday_queries_within_the_bounds():
    config = QueriesConfig(source=QuerySource.shipped, heldout=60)
    kept, dropped = split(load_queries(context(config)))
    assert len(kept) >= 200
    assert not dropped
    assert sum(query.split == "heldout" for query in kept) == 60


def test_the_fingerprint_follows_the_content_of_the_file(write):
    path = write(raw(*TEXTS))
    first = content_id(path)
    assert first == content_id(write(raw(*TEXTS), "copy.json"))
    assert first != content_id(write(raw(*TEXTS[1:])))
    assert content_id(None) == content_id(path.parent / "none") == "missing"


def test_a_real_sample_is_read_whole():
    folder = os.environ.get("AUTOIF_DATA_DIR")
    if not folder:
        pytest.skip("AUTOIF_DATA_DIR is not set: no ShareGPT sample to read")
    kept, dropped = run(Path(folder, "sharegpt", "sharegpt_sample.json"), heldout=100)
    assert len(kept) + len(dropped) == 1500
    assert len(kept) > 300
    assert set(reasons(dropped)) == {"length", "duplicate", "no_user_turn"}
    assert reasons(dropped).count("no_user_turn") >= 14
