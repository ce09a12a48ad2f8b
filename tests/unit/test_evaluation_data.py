"""Benchmark files: found, fetched or asked for in one line."""

import gzip

import pytest

from autoif.errors import DataError
from evaluation.data import IFEVAL, Source, content, locate, missing, read_jsonl


def test_a_local_file_wins_and_its_content_is_its_identity(tmp_path):
    path = tmp_path / IFEVAL.file
    path.parent.mkdir()
    path.write_text("{}\n")
    assert locate(IFEVAL, str(tmp_path)) == path
    assert missing(IFEVAL, str(tmp_path)) is None
    assert len(content(IFEVAL, str(tmp_path))) == 64
    assert content(IFEVAL, None) == "hub:google/IFEval/ifeval_input_data.jsonl@966cd89545d6b6acfd7638bc708b98261ca58e84"


def test_without_a_network_the_line_says_which_file_to_put_where(monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "/nonexistent")
    nowhere = Source("Bench", "bench/rows.jsonl", 3, "nobody/nothing-of-the-kind", "rows.jsonl")
    with pytest.raises(DataError, match=r"set evaluation\.data_dir to a folder that holds bench/rows\.jsonl"):
        locate(nowhere, None)


def test_what_is_not_on_the_hub_is_asked_for():
    with pytest.raises(DataError, match=r"X is not on the hub: set evaluation\.data_dir to a folder with x\.jsonl"):
        locate(Source("X", "x.jsonl", 1), None)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_rows_come_with_their_lines(tmp_path, name):
    path = tmp_path / name
    data = '{"a": 1}\n\n{"a": "x\u2028y"}\n'.encode()
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert list(read_jsonl(path, "a")) == [(1, {"a": 1}), (3, {"a": "x\u2028y"})]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1}\n{"b": 2}\n', r"rows:2: has no a"),
        (b"[1]\n", r"rows:1: not a JSON object"),
        (b'{"a": \n', r"rows:1: not JSON"),
        (b'{"a": "\xff"}\n', r"rows:1: not JSON"),
    ],
)
def test_malformed_rows_are_named(tmp_path, data, message):
    path = tmp_path / "rows"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        list(read_jsonl(path, "a"))


def test_a_damaged_archive_is_one_line(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n' * 999)[:-20])
    with pytest.raises(DataError, match=r"cannot read .*rows\.jsonl\.gz"):
        list(read_jsonl(path))
    path.write_bytes(b"not an archive")
    with pytest.raises(DataError, match="cannot read"):
        list(read_jsonl(path))
