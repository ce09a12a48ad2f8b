"""What the execution engine promises: outcomes as they are, in order, whatever the functions and the workers do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoif.errors import EngineError
from autoif.execution import ExecutionConfig, ExecutionEngine, Job, JobResult
from autoif.execution.batches import Entry, Lane

ROOT = Path(__file__).parents[2]
QUICK = ExecutionConfig(workers=2, cpu_seconds=0.2, wall_seconds=0.4, memory_mb=64, kills_per_function=2)
LONGER_THAN_THREE = "def evaluate(response):\n    return len(response) > 3\n"
DEEP = "def evaluate(r):\n    return down(980 + len(r)) == 0\ndef down(n):\n    return n if n == 0 else down(n - 1)\n"
ENDLESS = "def evaluate(response):\n    while response == 'loop':\n        pass\n    return True\n"


@pytest.fixture(scope="module")
def engine() -> Iterator[ExecutionEngine]:
    with ExecutionEngine(QUICK) as running:
        yield running


def outcomes(engine: ExecutionEngine, source: str, *inputs: str) -> list[str]:
    (result,) = engine.run([Job(source, inputs)])
    return [outcome.value for outcome in result.outcomes]


@pytest.mark.parametrize(
    ("expression", "outcome"),
    [
        ("True", "true"),
        ("False", "false"),
        ("None", "none"),
        ("1", "other"),
        ("0", "other"),
        ("''", "other"),
        ("'yes'", "other"),
        ("[True]", "other"),
        ("'true'", "true"),
        ("'True'", "true"),
        ("'false'", "false"),
        ("'False'", "false"),
        ("'TRUE'", "other"),
        ("1 / 0", "error"),
        ("undefined", "error"),
        ("'x' * (1 << 40)", "memory"),
    ],
)
def test_values_are_never_coerced(engine: ExecutionEngine, expression: str, outcome: str) -> None:
    assert outcomes(engine, f"def evaluate(response):\n    return {expression}\n", "a") == [outcome]


def test_strings_stay_strings_when_they_are_not_to_be_mapped() -> None:
    config = ExecutionConfig(workers=1, string_booleans=False)
    with ExecutionEngine(config) as strict:
        (result,) = strict.run([Job("def evaluate(r):\n    return r\n", ("true", "False"))])
    assert [outcome.value for outcome in result.outcomes] == ["other", "other"]
    assert result.details == {0: "str: 'true'", 1: "str: 'False'"}


def test_details_are_short_and_the_same_in_every_run(engine: ExecutionEngine) -> None:
    source = (
        "class Thing:\n    pass\n"
        "def evaluate(response):\n"
        "    if response == 'other':\n        return Thing()\n"
        "    raise ValueError(response * 1000 + '\\n')\n"
    )
    (result,) = engine.run([Job(source, ("other", "no"))])
    assert result.details[0] == "Thing: <verifier.Thing object>"
    assert result.details[1].startswith("ValueError: nonono")
    assert len(result.details[1]) <= 160


def test_details_hold_no_control_characters(engine: ExecutionEngine) -> None:
    source = "def evaluate(response):\n    raise ValueError('\\x1b[2J\\x07\\r\\u202e' + response)\n"
    (result,) = engine.run([Job(source, ("é 日",))])
    assert result.details == {0: r"ValueError: \x1b[2J\x07\r\u202eé 日"}


@pytest.mark.parametrize(
    "source",
    [
        "import re\nPATTERN = re.compile('b+')\ndef helper(t):\n    return PATTERN.search(t)\n"
        "def evaluate(response):\n    return helper(response) is not None\n",
        "LIMIT = 1\ndef evaluate(text):\n    return inner(text) >= LIMIT\ndef inner(t):\n    return t.count('b')\n",
        "from dataclasses import dataclass\n@dataclass\nclass Box:\n    text: 'str'\n"
        "def evaluate(response):\n    return 'b' in Box(response).text\n",
        "import sys\nevaluate = lambda response: 'b' in response and __name__ in sys.modules\n",
    ],
)
def test_a_function_shares_one_namespace_with_its_helpers_and_imports(engine: ExecutionEngine, source: str) -> None:
    assert outcomes(engine, source, "abba", "x") == ["true", "false"]


@pytest.mark.parametrize("lane", ["", "import os\n"], ids=["shared", "own"])
def test_inputs_hold_any_character(engine: ExecutionEngine, lane: str) -> None:
    source = lane + "def evaluate(response):\n    return len(response) == 3\n"
    assert outcomes(engine, source, "\ud800\0\U0001f600", "", "\r\n\x85", "\udfff" * 3) == [
        "true",
        "false",
        "true",
        "true",
    ]


def test_a_source_with_a_lone_surrogate_is_a_load_error(engine: ExecutionEngine) -> None:
    assert outcomes(engine, "def evaluate(r): return '\ud800'", "a") == ["load_error"]


@pytest.mark.parametrize("lane", ["", "import os\n"], ids=["shared", "own"])
def test_a_time_out_costs_one_call_and_the_budget_ends_in_skipped(engine: ExecutionEngine, lane: str) -> None:
    got = outcomes(engine, lane + ENDLESS, "a", "loop", "b", "loop", "c", "d")
    assert got == ["true", "timeout", "true", "timeout", "skipped", "skipped"]


def test_waiting_for_a_core_counts_neither_as_computing_nor_as_sleeping() -> None:
    works = (
        "import time\ndef evaluate(r):\n    start, asked = time.process_time(), time.monotonic()\n"
        "    while time.process_time() < start + 0.1: pass\n    return time.monotonic() - asked > 0.4\n"
    )
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(6)]
    try:
        with ExecutionEngine(QUICK) as crowded:
            found = outcomes(crowded, works, *"aaa")
    finally:
        os.sched_setaffinity(0, cores)
        for hog in hogs:
            hog.kill()
            hog.wait()
    assert set(found) <= {"true", "false"}
    if "true" not in found:
        pytest.skip("this kernel let the call run before the others: it did not have to wait")


@pytest.mark.parametrize(("body", "workers"), [("time.sleep(60)", 2), ("sum(range(10 ** 12))", 1)])
def test_a_function_that_sleeps_leaves_its_core_to_another(body: str, workers: int) -> None:
    """Work that is ready to run never has more processes than the cores it was given."""
    source = f"import time\ndef evaluate(r):\n    {body}\n"
    others = children(os.getpid())
    with ExecutionEngine(ExecutionConfig(workers=1, cpu_seconds=0.3, wall_seconds=0.3)) as running:
        results, seen = [], []
        for result in running.run([Job(source, ("a",) * 4)] * 3):
            results.append(result)
            seen.append(len(children(os.getpid()) - others))
        assert max(seen) == workers
        assert len(children(os.getpid()) - others) == 1
    assert [[outcome.value for outcome in result.outcomes] for result in results] == [
        ["timeout", "timeout", "timeout", "skipped"]
    ] * 3


def handed_back(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by how many jobs each batch hands back."""
    counts: list[int] = []
    give_back = Lane.give_back

    def noted(self: Lane, entries: list[Entry]) -> None:
        counts.append(len(entries))
        give_back(self, entries)

    monkeypatch.setattr(Lane, "give_back", noted)
    return counts


@pytest.mark.parametrize("lane", ["shared", "own", "each"])
def test_a_row_of_time_outs_is_not_left_to_one_worker(lane: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ExecutionConfig(workers=2, cpu_seconds=0.3, kills_per_function=1)
    jobs = [Job(f"# {at}\n{ENDLESS if at % 2 else LONGER_THAN_THREE}", ("loop", "on")) for at in range(12)]
    back = handed_back(monkeypatch)
    with ExecutionEngine(config, lane=lane) as engine:
        results = [[outcome.value for outcome in result.outcomes] for result in engine.run(jobs)]
    assert results == [["true", "false"], ["timeout", "true" if lane == "each" else "skipped"]] * 6
    # Each batch with a function that hangs ends there; what was not begun waits for whichever worker is free.
    assert len(back) >= 3
    assert max(back) > 3


def test_programs_that_hang_are_not_left_to_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    back = handed_back(monkeypatch)
    with ExecutionEngine(ExecutionConfig(workers=2, cpu_seconds=0.3)) as engine:
        results = list(engine.run_programs(["while True: pass", "x = 1"] * 4))
    assert [result.outcomes[0].value for result in results] == ["timeout", "true"] * 4
    assert back


def test_a_crash_costs_one_call(engine: ExecutionEngine) -> None:
    source = "import os\ndef evaluate(response):\n    return os._exit(0) if response == 'x' else True\n"
    assert outcomes(engine, source, "a", "x", "b") == ["true", "crash", "true"]


@pytest.mark.parametrize("lane", ["", "import os\n"], ids=["shared", "own"])
def test_running_out_of_memory_counts_as_a_kill(engine: ExecutionEngine, lane: str) -> None:
    source = lane + "def evaluate(response):\n    return len('ab' * (1 << (40 if response == 'x' else 3))) == 16\n"
    assert outcomes(engine, source, "a", "x", "b", "x", "c") == ["true", "memory", "true", "memory", "skipped"]


def test_what_hangs_on_load_is_not_loaded_again(engine: ExecutionEngine) -> None:
    started = time.process_time()
    for lane in ("", "import os\n"):
        assert outcomes(engine, lane + "while True:\n    pass\n", "a", "b", "c") == ["timeout", "skipped", "skipped"]
    assert time.process_time() - started < 1.0


def test_inputs_beyond_the_limit_are_skipped() -> None:
    with ExecutionEngine(ExecutionConfig(workers=1, max_inputs=2)) as small:
        results = list(small.run([Job(LONGER_THAN_THREE, ("abcd",) * 3), Job(LONGER_THAN_THREE, ())]))
    assert [[outcome.value for outcome in result.outcomes] for result in results] == [["true", "true", "skipped"], []]


def mixed_jobs() -> list[Job]:
    shared = ("a b c", "A. B! C?", "\ud83d zzz", "1 2 3")
    sources = [
        LONGER_THAN_THREE,
        "import random\ndef evaluate(r):\n    return random.random() < 0.5\n",
        "def evaluate(r):\n    return list(set(r.split()))[0] == 'a'\n",
        "import os\ndef evaluate(r):\n    return str(list({'x', 'y', 'zz', r})) + str(os.getenv('HOME'))\n",
        "import re\ndef evaluate(r):\n    return re.search('z', r)\n",
        "def evaluate(r):\n    raise KeyError(r)\n",
        "def evaluate(r):\n    while r.startswith('1'):\n        pass\n    return None\n",
        "seen = []\ndef evaluate(r):\n    seen.append(r)\n    return len(seen) == 2\n",
        DEEP,
        "import os\n" + DEEP,
        "nonsense(",
    ]
    return [Job(source, shared) for source in sources * 7]


def test_the_number_of_workers_changes_nothing() -> None:
    def results(workers: int) -> list[JobResult]:
        config = ExecutionConfig(workers=workers, cpu_seconds=0.15, memory_mb=64, kills_per_function=1)
        with ExecutionEngine(config) as running:
            return list(running.run(mixed_jobs()))

    first = results(1)
    assert first == results(2) == results(4)
    assert all(first[at] == first[at + 11] for at in range(66))


def test_a_run_reads_ahead_only_so_far(engine: ExecutionEngine) -> None:
    read = 0

    def endless() -> Iterator[Job]:
        nonlocal read
        while True:
            read += 1
            yield Job(LONGER_THAN_THREE, ("abcd",))

    run = engine.run(endless())
    for at in range(8000):
        next(run)
        assert read - at < 4000
    run.close()


def test_runs_can_be_nested_and_come_from_threads(engine: ExecutionEngine) -> None:
    jobs = [Job(LONGER_THAN_THREE, ("abcd", "a"))] * 60
    totals: list[int] = []

    def outer() -> None:
        totals.append(sum(len(list(engine.run(jobs[:1]))) for _ in engine.run(jobs[:5])))

    threads = [threading.Thread(target=outer) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert totals == [5, 5, 5]


def test_an_exception_in_the_consumer_leaves_the_engine_usable(engine: ExecutionEngine) -> None:
    def consume() -> None:
        for _ in engine.run([Job(LONGER_THAN_THREE, ("abcd",))] * 1500 + [Job(ENDLESS, ("loop",) * 9)] * 200):
            raise RuntimeError("consumer")  # by now the workers are busy with what never ends

    with pytest.raises(RuntimeError, match="consumer"):
        consume()
    assert outcomes(engine, LONGER_THAN_THREE, "abcd") == ["true"]


def test_an_exception_in_the_jobs_reaches_the_caller(engine: ExecutionEngine) -> None:
    def broken() -> Iterator[Job]:
        yield Job(LONGER_THAN_THREE, ("abcd",))
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(engine.run(broken()))
    assert outcomes(engine, LONGER_THAN_THREE, "abcd") == ["true"]


def test_closing_twice_is_harmless_and_use_after_it_is_refused() -> None:
    running = ExecutionEngine(QUICK)
    with running:
        run = running.run([Job(LONGER_THAN_THREE, ("abcd",))] * 500)
        next(run)
        running.close()
        running.close()
    run.close()
    with pytest.raises(EngineError, match="not running"):
        next(running.run([]))
    with running:
        assert outcomes(running, LONGER_THAN_THREE, "abcd") == ["true"]


def test_killed_workers_are_replaced_and_nothing_is_lost() -> None:
    slow = "import time\ndef evaluate(r):\n    time.sleep(0.002)\n    return True\n"
    others = children(os.getpid())
    with ExecutionEngine(QUICK) as running:
        before = children(os.getpid()) - others
        run = running.run([Job(slow, ("a",) * 10)] * 150)
        results = [next(run)]
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        results += run
        assert [set(result.outcomes) for result in results] == [set(results[0].outcomes)] * 150
        assert children(os.getpid()) - others
    assert gone(before)


@pytest.mark.parametrize("moment", ["busy", "idle"])
def test_nothing_outlives_an_engine_that_is_killed(moment: str) -> None:
    script = (
        "from autoif.execution import ExecutionConfig, ExecutionEngine, Job\n"
        "engine = ExecutionEngine(ExecutionConfig(workers=2, cpu_seconds=60, wall_seconds=60)).__enter__()\n"
        "print('up', flush=True)\n"
        "source = 'def evaluate(r):\\n    while True: pass' if MOMENT == 'busy' else 'evaluate = bool'\n"
        "list(engine.run([Job(source, ('a',))] * 2))\n"
        "import time; time.sleep(60)\n"
    ).replace("MOMENT", repr(moment))
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        time.sleep(0.5)
        below = children(process.pid, deep=True)
        assert len(below) >= (3 if moment == "busy" else 2)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
    assert gone(below)


def test_workers_end_with_their_engine_though_a_fork_of_it_lives_on() -> None:
    script = (
        "import os, time\n"
        "from autoif.execution import ExecutionConfig, ExecutionEngine\n"
        "for ceiling in (1, 4):\n"
        "    ExecutionEngine(ExecutionConfig(workers=1), ceiling=ceiling).__enter__()\n"
        "fork = os.fork()\n"
        "if fork: print(fork, flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout
    fork = int(process.stdout.readline())
    below = children(process.pid, deep=True) - {fork}
    process.kill()
    process.wait()
    process.stdout.close()
    try:
        assert len(below) >= 2
        assert gone(below)
    finally:
        os.kill(fork, signal.SIGKILL)


@pytest.mark.parametrize(
    "limits",
    [{"cpu_seconds": 0}, {"memory_mb": -1}, {"workers": -1}, {"audit_rate": 1.5}, {"minimum_isolation": 7}],
    ids=str,
)
def test_limits_that_make_no_sense_are_named(limits: dict[str, float]) -> None:
    with pytest.raises(EngineError, match=f"execution.{next(iter(limits))} is {next(iter(limits.values()))}"):
        ExecutionEngine(ExecutionConfig(**limits))  # type: ignore[arg-type]


def test_programs_pass_when_they_end_without_an_exception(engine: ExecutionEngine) -> None:
    programs = {
        "def f(x):\n    return g(x)\ndef g(x):\n    return x + 1\nassert f(1) == 2\n": "true",
        "assert 1 == 2": "error",
        "import sys\nsys.exit(0)\nassert False": "error",
        "import os\nos._exit(0)": "crash",
        "while True: pass": "timeout",
        "x = 'a' * (1 << 40)": "memory",
        "x = (": "error",
        "assert __name__ == '__main__'\nimport unittest": "true",
        "open('/tmp/owned', 'w')": "error",
    }
    results = list(engine.run_programs(programs))
    assert [result.outcomes[0].value for result in results] == list(programs.values())
    assert results[1].details == {0: "AssertionError"}


def test_installed_packages_are_there_for_functions_that_import_them(engine: ExecutionEngine) -> None:
    pytest.importorskip("numpy")
    source = "import numpy as np\ndef evaluate(r):\n    return bool(np.array([len(r)]).sum() > 2)\n"
    drawn = "import numpy as np\ndef evaluate(r):\n    return str(np.random.rand())\n"
    jobs = [Job(source, ("abc", "a")), Job(LONGER_THAN_THREE, ("abcd",)), Job(drawn, ("a",))]
    once, again = list(engine.run(jobs)), list(engine.run(jobs))
    assert [[outcome.value for outcome in result.outcomes] for result in once] == [
        ["true", "false"],
        ["true"],
        ["other"],
    ]
    assert once == again


def test_functions_with_installed_packages_are_as_confined(engine: ExecutionEngine) -> None:
    pytest.importorskip("pandas")
    bodies = {
        "return bool((pd.Series(r.split()).value_counts() > 1).any())": "true",
        "import os\n    os.fork()": "error",
        "np.save('/tmp/owned.npy', np.zeros(3))": "error",
        "pd.DataFrame({'a': [1]}).to_csv('/tmp/owned.csv')": "error",
        "pd.read_csv('http://127.0.0.1:9/x.csv')": "error",
        "return bool(np.ones((1 << 16, 1 << 16)).all())": "memory",
        "while True: np.ones(9).sum()": "timeout",
        "import ctypes\n    ctypes.string_at(0)": "crash",
        "import torch": "error",
    }
    head = "import numpy as np\nimport pandas as pd\ndef evaluate(r):\n    "
    results = list(engine.run([Job(f"{head}{body}\n", ("one two two",)) for body in bodies]))
    assert [result.outcomes[0].value for result in results] == list(bodies.values())
    assert not list(Path("/tmp").glob("owned.*"))


def test_nltk_finds_the_corpora_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nltk")
    data = Path(os.environ.get("AUTOIF_DATA_DIR", ""), "nltk_data")
    if not os.environ.get("AUTOIF_DATA_DIR") or not data.is_dir():
        pytest.skip("AUTOIF_DATA_DIR names no folder with nltk_data in it")
    monkeypatch.setenv("NLTK_DATA", str(data))
    source = "from nltk.tokenize import sent_tokenize\ndef evaluate(r):\n    return len(sent_tokenize(r)) == 2\n"
    with ExecutionEngine(ExecutionConfig(workers=1)) as fresh:
        assert outcomes(fresh, source, "One is. Two are.", "One is.") == ["true", "false"]


def test_the_audit_marks_a_function_that_answers_otherwise_alone() -> None:
    config = ExecutionConfig(workers=2, audit_rate=1.0)
    forger = "calls = []\ndef evaluate(r):\n    calls.append(r)\n    return len(calls) > 1\n"
    jobs = [Job(forger, ("a", "b")), Job(LONGER_THAN_THREE, ("abcd", "a"))]
    with ExecutionEngine(config) as auditing:
        bad, good = auditing.run(jobs)
    assert (bad.trusted, good.trusted) == (False, True)
    assert bad.details == {1: "audit: true here, false when run alone"}


def test_rows_that_a_function_forges_through_the_stack_are_its_own_and_the_audit_sees_them() -> None:
    forger = (
        "import sys\ndef evaluate(r):\n    f = sys._getframe()\n    while f:\n"
        "        board = getattr(f.f_locals.get('self'), '_board', None)\n"
        "        if board: board.results[:] = bytes([1]) * len(board.results)\n"
        "        f = f.f_back\n    return False\n"
    )
    good = Job(LONGER_THAN_THREE, ("abcd", "a"))
    with ExecutionEngine(ExecutionConfig(workers=1, audit_rate=1.0)) as auditing:
        first, forged, last = auditing.run([good, Job(forger, ("a", "b", "c")), good])
    assert first == last
    assert [outcome.value for outcome in first.outcomes] == ["true", "false"]
    assert [outcome.value for outcome in forged.outcomes] == ["true", "true", "false"]
    assert (first.trusted, forged.trusted) == (True, False)
    assert forged.details[0] == "audit: true here, false when run alone"


def test_the_audit_takes_the_same_sample_every_time() -> None:
    forger = "calls = []\ndef evaluate(r):\n    calls.append(r)\n    return len(calls) > 1\n"
    jobs = [Job(forger, tuple(str(n) for n in range(40)))]

    def audited(workers: int) -> list[JobResult]:
        with ExecutionEngine(ExecutionConfig(workers=workers, audit_rate=0.2)) as auditing:
            return list(auditing.run(jobs))

    first = audited(1)
    assert first == audited(2)
    assert 2 <= len(first[0].details) <= 20


def test_importing_the_package_is_light() -> None:
    script = (
        "import sys; import autoif.execution; "
        "print(sorted({'torch', 'numpy', 'ctypes', 'asyncio', 'multiprocessing', 'tqdm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def children(pid: int, deep: bool = False) -> set[int]:
    """Process ids below ``pid``."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
    rows = [(int(row[0]), int(row[1])) for row in map(str.split, listing.splitlines()) if row[2] != "ps"]
    found = {child for child, parent in rows if parent == pid}
    return found.union(*(children(child, True) for child in found)) if deep else found


def gone(pids: set[int]) -> bool:
    """Whether they have all ended within a few seconds, zombies included."""
    deadline = time.monotonic() + 5
    while any(os.path.exists(f"/proc/{pid}") for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
