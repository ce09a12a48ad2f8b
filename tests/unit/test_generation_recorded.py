"""Recordings: a run is replayed without its model, and equal content is equal bytes."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from autoif.config import OpenAISupervisor, PathsConfig, RecordedSupervisor, RunConfig
from autoif.errors import DataError, RecordingMissError
from autoif.generation.base import Answer, Completion, Failure, Request, Sampling, request_key, user
from autoif.generation.factory import supervisor, supervisor_identity
from autoif.generation.recorded import RecordedGenerator, RecordingGenerator, RecordingWriter, read_header, read_rows

HEADER = {"model": "Echo 1B", "quantisation": "none", "date": "2026-01-01"}


def ask(text: str, index: int = 0) -> Request:
    return Request(messages=user(text), sampling=Sampling(), index=index)


class Echo:
    identity = "echo"

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        for request in requests:
            text = request.messages[-1].content
            yield Failure(reason="content_filter") if text == "bad" else Completion(text=f"{text}{request.index}")

    def close(self) -> None:
        pass


def record(path: Path, *texts: str) -> list[Answer]:
    recorder = RecordingGenerator(Echo(), path, HEADER)
    answers = list(recorder.generate(ask(text, n) for n, text in enumerate(texts)))
    recorder.close()
    recorder.close()
    return answers


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.xz"])
def test_a_recording_replays_what_was_answered(tmp_path: Path, name: str) -> None:
    path = tmp_path / "deep" / name
    answers = record(path, "a", "bad", "ü\u2028", "a")
    replay = RecordedGenerator(path)
    assert list(replay.generate(ask(text, n) for n, text in enumerate(["a", "bad", "ü\u2028", "a"]))) == answers
    assert list(replay.generate([ask("a", 3), ask("a", 0)])) == [answers[3], answers[0]]
    assert list(path.parent.iterdir()) == [path], "nothing but the recording is left"


def test_rows_are_sorted_by_key_and_order_of_asking_leaves_no_trace(tmp_path: Path) -> None:
    requests = [ask(str(n)) for n in range(20)]
    for name, order in (("a.jsonl", requests), ("b.jsonl", requests[::-1])):
        recorder = RecordingGenerator(Echo(), tmp_path / name, HEADER)
        list(recorder.generate(order))
        recorder.close()
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_bytes().split(b"\n") if line]
    header, keys = lines[0], [line["key"] for line in lines[1:]]
    assert header["autoif_recording"] == 1
    assert (header["model"], header["quantisation"], header["date"]) == ("Echo 1B", "none", "2026-01-01")
    assert keys == sorted(request_key(request) for request in requests)


def test_recording_again_adds_to_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.xz"
    record(path, "a", "b")
    record(path, "a", "c", "d")
    assert len(list(read_rows(path))) == 4
    before = path.read_bytes()
    record(path, "a", "b")
    assert path.read_bytes() == before


def test_a_killed_recorder_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    writer = RecordingWriter(path, HEADER)
    writer.add(ask("a"), Completion(text="A"))
    writer.add(ask("b"), Completion(text="B"))
    journal = path.with_name("r.jsonl.journal")
    left = journal.read_bytes() + b'{"key": "cut sho'
    writer.close()
    path.unlink()
    journal.write_bytes(left)
    with RecordingWriter(path, HEADER) as resumed:
        resumed.add(ask("c"), Completion(text="C"))
    assert sorted(answer.text for _, _, answer in read_rows(path) if isinstance(answer, Completion)) == ["A", "B", "C"]


def test_two_recorders_of_one_file_are_kept_apart(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "r.jsonl", HEADER), pytest.raises(DataError, match="another process"):
        RecordingWriter(tmp_path / "r.jsonl", HEADER)


def test_a_miss_names_the_request_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    record(path, "a")
    request = ask("Rewrite this\nand keep every word of it, " + "please " * 30, 7)
    with pytest.raises(RecordingMissError) as caught:
        list(RecordedGenerator(path).generate([request]))
    message = str(caught.value)
    assert request_key(request)[:16] in message
    assert "sample 7 of “Rewrite this and keep every word" in message
    assert "supervisor.record" in message
    assert "\n" not in message


def test_identity_tells_recordings_apart_by_content(tmp_path: Path) -> None:
    one, two = tmp_path / "1.jsonl", tmp_path / "2.jsonl.xz"
    record(one, "a")
    record(two, "a")
    assert RecordedGenerator(one).identity == RecordedGenerator(two).identity
    record(two, "b")
    assert RecordedGenerator(one).identity != RecordedGenerator(two).identity
    assert supervisor_identity(RecordedSupervisor(path=str(one))) == RecordedGenerator(one).identity
    assert "Echo 1B" in RecordedGenerator(one).identity


@pytest.mark.parametrize(
    "content, says",
    [
        (None, "no recording at"),
        (b"", "header"),
        (b'{"key": "k"}\n', "header"),
        (b'{"autoif_recording": 99}\n', "version 99"),
        (b'{"autoif_recording": 1}\n{"key": "zz"}\n', "jsonl:2"),
    ],
    ids=["missing", "empty", "no header", "future", "bad row"],
)
def test_what_is_no_recording_is_said_in_one_line(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "r.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        list(RecordedGenerator(path).generate([ask("a")]))
    assert "\n" not in str(caught.value)


def test_a_cut_xz_file_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.xz"
    record(path, *map(str, range(50)))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="cannot be read"):
        list(RecordedGenerator(path).generate([ask("1")]))


def test_the_factory_replays_and_records(tmp_path: Path) -> None:
    from chat_server import ChatServer, reply_to

    path = tmp_path / "r.jsonl.xz"
    with ChatServer() as server:
        live = RunConfig(
            supervisor=OpenAISupervisor(model="m", base_url=server.url, record=str(path)),
            paths=PathsConfig(cache=str(tmp_path / "cache")),
        )
        recording = supervisor(live)
        answers = list(recording.generate([ask("a"), ask("b")]))
        recording.close()
    assert supervisor_identity(live.supervisor) == "openai:m"
    replaying = supervisor(RunConfig(supervisor=RecordedSupervisor(path=str(path))))
    assert list(replaying.generate([ask("b"), ask("a")])) == answers[::-1]
    assert isinstance(answers[0], Completion)
    assert answers[0].text == reply_to("a")
    header = json.loads(lzma.decompress(path.read_bytes()).split(b"\n", 1)[0])
    assert (header["model"], header["engine"]) == ("m", "openai:m")
    assert read_header(path).date


def test_what_was_not_recorded_can_be_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "recording.jsonl"
    path.write_text('{"autoif_recording":1,"model":"nobody"}\n')
    assert list(RecordedGenerator(path, pass_over=True).generate([ask("a")])) == [Failure(reason="not_recorded")]
