"""The call cache: nothing finished is asked again, whatever dies and whoever else writes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoif.errors import EngineError
from autoif.generation.base import Answer, Completion, Failure, Request, Sampling, request_key, user
from autoif.generation.cache import CachedGenerator, CallCache
from autoif.generation.cache_command import main
from autoif.generation.codec import decode_answer, decode_request, encode_answer, encode_request
from autoif.generation.scheduling import in_order

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


def ask(text: str, index: int = 0) -> Request:
    return Request(messages=user(text), sampling=Sampling(), index=index)


class Echo:
    """A streaming engine that answers the newest request first and remembers what it was asked."""

    identity = "echo"
    concurrency = 4

    def __init__(self, broken: str | None = None) -> None:
        self.asked: list[str] = []
        self.flying: list[tuple[str, Request]] = []
        self.broken = broken

    @contextmanager
    def session(self) -> Iterator[Echo]:
        self.flying = []
        yield self

    def submit(self, key: str, request: Request) -> None:
        self.asked.append(request.messages[-1].content)
        self.flying.append((key, request))

    def collect(self) -> list[tuple[str, Answer]]:
        key, request = self.flying.pop()
        text = request.messages[-1].content
        if text == self.broken:
            raise EngineError("no such model")
        if text.startswith("bad"):
            return [(key, Failure(reason="content_filter"))]
        return [(key, Completion(text=f"{text}!{request.index}", prompt_tokens=2, completion_tokens=1))]

    def close(self) -> None:
        pass


class Pairs:
    """A batch engine with windows of four and batches of two; it stops after ``limit`` batches."""

    identity = "pairs"
    window = 4

    def __init__(self, limit: int = 1000) -> None:
        self.composed: list[list[str]] = []
        self.limit = limit

    def batches(self, requests: Sequence[Request]) -> Iterator[list[tuple[int, Answer]]]:
        order = sorted(range(len(requests)), key=lambda n: -len(requests[n].messages[-1].content))
        for start in range(0, len(order), 2):
            if len(self.composed) == self.limit:
                raise KeyboardInterrupt
            batch = order[start : start + 2]
            self.composed.append([requests[n].messages[-1].content for n in batch])
            yield [(n, Completion(text=requests[n].messages[-1].content)) for n in batch]

    def close(self) -> None:
        pass


@given(TEXT, st.sampled_from(["stop", "length"]), st.integers(0, 9), TEXT, TEXT)
def test_answers_and_requests_survive_storage(text: str, finish: str, tokens: int, reason: str, detail: str) -> None:
    for answer in (Completion(text=text, finish=finish, prompt_tokens=tokens), Failure(reason=reason, detail=detail)):
        assert decode_answer(encode_answer(answer)) == answer
    request = Request(messages=user(text), sampling=Sampling(stop=(reason,)), json_schema={"b": 1, "a": [detail]})
    assert decode_request(encode_request(request)) == request
    assert request_key(decode_request(encode_request(request))) == request_key(request)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 30), max_size=120))
def test_order_is_that_of_the_requests_whatever_arrives_first(numbers: list[int]) -> None:
    answers = [a.text for a in in_order(Echo(), (ask(str(n)) for n in numbers)) if isinstance(a, Completion)]
    assert answers == [f"{n}!0" for n in numbers]


def test_requests_are_pulled_only_as_far_as_the_window() -> None:
    pulled = 0

    def endless() -> Iterator[Request]:
        nonlocal pulled
        while True:
            pulled += 1
            yield ask(str(pulled))

    class LastNeverComes(Echo):
        def collect(self) -> list[tuple[str, Answer]]:
            self.flying.sort(key=lambda item: item[1].messages[-1].content == "1")
            self.flying.reverse()
            if len(self.flying) == 1:
                raise EngineError("only the first is left")
            return super().collect()

    with pytest.raises(EngineError):
        next(in_order(LastNeverComes(), endless()))
    assert pulled <= 16 * Echo.concurrency


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    requests = [ask(text, index) for text in ("a", "bad b", "c", "a") for index in range(3)]
    first, second = Echo(), Echo()
    before = CachedGenerator(first, CallCache(tmp_path / "c.sqlite"))
    expected = list(before.generate(requests))
    assert len(first.asked) == 9  # the same request twice is one call
    stats = before.stats()
    assert (stats.hits, stats.misses, stats.failures) == (3, 9, 3)
    assert (stats.prompt_tokens, stats.completion_tokens) == (12, 6)
    before.close()
    after = CachedGenerator(second, CallCache(tmp_path / "c.sqlite"))
    assert list(after.generate(requests)) == expected
    assert second.asked == []
    after.close()


def test_what_arrived_before_a_permanent_error_is_kept(tmp_path: Path) -> None:
    cache = CallCache(tmp_path / "c.sqlite")
    requests = [ask(str(n)) for n in range(4)]
    with pytest.raises(EngineError):
        list(CachedGenerator(Echo(broken="1"), cache).generate(requests))
    again = Echo()
    list(CachedGenerator(again, cache).generate(requests))
    assert sorted(again.asked) == ["0", "1"]


def test_a_resumed_run_composes_the_batches_of_the_undisturbed_one(tmp_path: Path) -> None:
    requests = [ask("x" * n) for n in (3, 9, 1, 5, 8, 2, 7, 4)]
    whole = Pairs()
    expected = list(in_order(whole, requests))
    for limit in range(4):
        cache = CallCache(tmp_path / f"{limit}.sqlite")
        killed, resumed = Pairs(limit), Pairs()
        with pytest.raises(KeyboardInterrupt):
            list(CachedGenerator(killed, cache).generate(requests))
        assert list(CachedGenerator(resumed, cache).generate(requests)) == expected
        assert killed.composed + resumed.composed == whole.composed


def test_the_first_answer_stands_for_all_processes(tmp_path: Path) -> None:
    one, two = CallCache(tmp_path / "c.sqlite"), CallCache(tmp_path / "c.sqlite")
    request = ask("q")
    key = request_key(request)
    assert one.put("m", [(key, request, Completion(text="first"))]) == [Completion(text="first")]
    assert two.put("m", [(key, request, Completion(text="second"))]) == [Completion(text="first")]
    assert two.get("m", key) == Completion(text="first")
    assert two.get("other model", key) is None


def _write(path: str, start: int) -> None:
    cache = CallCache(Path(path))
    for number in range(start, start + 150):
        request = ask(str(number))
        cache.put("m", [(request_key(request), request, Completion(text=str(number)))])


def test_two_processes_and_two_threads_may_write_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "c.sqlite")
    context = multiprocessing.get_context("spawn")
    workers: list[multiprocessing.process.BaseProcess | threading.Thread] = [
        context.Process(target=_write, args=(path, 0)),
        context.Process(target=_write, args=(path, 75)),
        threading.Thread(target=_write, args=(path, 300)),
        threading.Thread(target=_write, args=(path, 375)),
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert CallCache(Path(path)).engines() == {"m": 450}


KILLED = """
import sys
from pathlib import Path
from autoif.generation.base import *
from autoif.generation.cache import CallCache
cache = CallCache(Path(sys.argv[1]))
for number in range(10**9):
    request = Request(messages=user(str(number)), sampling=Sampling())
    cache.put("m", [(request_key(request), request, Completion(text=str(number)))])
    print(number, flush=True)
"""


def test_every_answer_reported_before_kill_9_is_there_after(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 200:
                os.kill(process.pid, signal.SIGKILL)
                break
        seen = [int(line) for line in process.stdout if line.endswith("\n")]
    cache = CallCache(path)
    for number in (*range(201), *seen):
        assert cache.get("m", request_key(ask(str(number)))) == Completion(text=str(number))


def test_a_cache_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    path.write_text("something else\n" * 100)
    with pytest.raises(EngineError, match=r"c\.sqlite.*paths\.cache"):
        CallCache(path)


def test_a_cache_travels_as_a_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here, there, file = tmp_path / "a.sqlite", tmp_path / "b.sqlite", tmp_path / "r.jsonl.xz"
    generator = CachedGenerator(Echo(), CallCache(here))
    list(generator.generate([ask("x"), ask("bad y")]))
    generator.close()
    assert main(["--cache", str(here), "export", str(file), "--header", "model=Echo 1B"]) == 0
    assert main(["--cache", str(there), "import", str(file)]) == 0
    assert main(["--cache", str(there), "list"]) == 0
    assert "2  echo" in capsys.readouterr().out
    assert list(CallCache(there).rows("echo")) == list(CallCache(here).rows("echo"))
    with pytest.raises(SystemExit):
        main(["--cache", str(tmp_path / "none.sqlite"), "list"])
    assert "no call cache" in capsys.readouterr().err
