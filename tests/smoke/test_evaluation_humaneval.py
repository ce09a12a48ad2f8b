"""HumanEval in the real execution engine: canonical solutions pass, wrong and hostile ones fail."""

import json
import os
from pathlib import Path

import pytest

from autoif.errors import DataError
from autoif.execution import ExecutionConfig
from autoif.generation.base import Completion
from evaluation import humaneval
from evaluation.humaneval import Problem, pass_at_k

ADD = Problem("t/0", 'import math\n\n\ndef add(a, b):\n    """Sum."""\n', "add",
              "def check(candidate):\n    assert candidate(1, 2) == 3\n", "    return a + b\n")  # fmt: skip


def passes(engine, *completions):
    (item,) = humaneval.score(engine, [(ADD, completions)], "m")
    return item.scores["pass@1"], item.detail


@pytest.mark.parametrize(
    ("code", "share"),
    [
        ("    return a + b\n", 1),
        ("    return a - b\n", 0),
        ("    return a +\n", 0),
        ("    import sys\n    sys.exit(0)\n", 0),
        ("    return a - b\n\n\ndef check(candidate):\n    pass\n", 0),
        ("    return a - b\n\n\ndef evaluate(response):\n    return True\n", 0),
        ("    open('/etc/hostname', 'w')\n    return a + b\n", 0),
    ],
)
def test_a_completion_passes_only_when_its_tests_do(engine, code, share):
    assert passes(engine, code)[0] == share


def test_a_loop_ends_at_the_limit_and_the_next_program_runs(engine):
    loop, fine = humaneval.score(
        engine, [(ADD, ["    while True:\n        pass\n"]), (ADD, ["    return a + b\n"])], "m"
    )
    assert (loop.scores["pass@1"], loop.detail) == (0.0, "timeout")
    assert fine.scores["pass@1"] == 1.0


@pytest.mark.parametrize(
    "reply",
    [
        "```python\ndef add(a, b):\n    return a + b\n```",
        "Sure:\n\n```python\nimport math\n\ndef add(a, b):\n    return math.fsum([a, b])\n```\n```py\nadd(1, 2)\n```",
        "```\n    return a + b\n```",
        "return a + b",
        "```python\nprint('x')\n```\n```python\ndef add(a, b):\n    return a + b\n```",
        "```python\ndef add(a, b):\n    return a + b",
    ],
)
def test_chat_answers_become_programs(engine, reply):
    assert passes(engine, humaneval.completion(ADD, reply))[0] == 1.0


def test_answers_are_asked_for_once_and_paired(engine):
    class Model:
        identity = "m"

        def generate(self, requests):
            for request in requests:
                assert "def add(a, b):" in request.messages[0].content
                yield Completion(text="```python\ndef add(a, b):\n    return a + b\n```")

        def close(self):
            pass

    (item,) = humaneval.score(engine, humaneval.generate(Model(), [ADD]), "m")
    assert item.scores == {"pass@1": 1.0}


def test_programs_get_the_benchmarks_own_limit():
    found = humaneval.limits(ExecutionConfig(cpu_seconds=0.1, workers=3, minimum_isolation=2))
    assert (found.cpu_seconds, found.workers, found.minimum_isolation) == (3.0, 3, 2)


def test_pass_at_k_by_hand():
    assert pass_at_k(5, 2, 1) == pytest.approx(0.4)
    assert pass_at_k(5, 2, 2) == pytest.approx(1 - 3 / 10)
    assert pass_at_k(3, 0, 3) == 0.0
    assert pass_at_k(3, 3, 1) == pass_at_k(4, 1, 4) == 1.0
    with pytest.raises(ValueError, match="k = 3"):
        pass_at_k(2, 1, 3)


def test_samples_of_unknown_or_without_tasks_are_named(tmp_path):
    problems = {"t/0": ADD, "t/1": Problem("t/1", "", "f", "")}
    path = tmp_path / "samples.jsonl"
    path.write_text(json.dumps({"task_id": "t/0", "completion": "x"}) + "\n")
    with pytest.raises(DataError, match=r"no sample for: t/1"):
        list(humaneval.read_samples(path, problems))
    assert [problem.id for problem, _ in humaneval.read_samples(path, problems, partial=True)] == ["t/0"]
    path.write_text(json.dumps({"task_id": "t/9", "completion": "x"}) + "\n")
    with pytest.raises(DataError, match=r"samples\.jsonl:1: t/9 is no task"):
        list(humaneval.read_samples(path, problems))


published = pytest.mark.skipif(
    "AUTOIF_DATA_DIR" not in os.environ, reason="AUTOIF_DATA_DIR is not set: the published problems are not at hand"
)


@published
def test_all_164_canonical_solutions_pass_and_none_passes_that_returns_nothing(engine):
    problems = humaneval.load(Path(os.environ["AUTOIF_DATA_DIR"]) / humaneval.SOURCE.file)
    assert len(problems) == 164
    good = humaneval.score(engine, ((p, [p.canonical_solution]) for p in problems.values()), "m")
    assert [item.id for item in good if item.scores["pass@1"] < 1] == []
    bad = humaneval.score(engine, ((p, ["    return None\n"]) for p in problems.values()), "m")
    assert [item.id for item in bad if item.scores["pass@1"] > 0] == []


@published
def test_the_references_example_samples_score_as_its_readme_says(engine):
    folder = Path(os.environ["AUTOIF_DATA_DIR"]) / "humaneval"
    problems = humaneval.load(folder / "example_problem.jsonl")
    (item,) = humaneval.score(engine, humaneval.read_samples(folder / "example_samples.jsonl", problems), "m")
    assert item.scores["pass@1"] == pytest.approx(0.5)


def test_samples_that_lm_eval_logged_and_gzipped_ones_are_read(tmp_path):
    import gzip

    problems = {"t/0": ADD}
    logged = tmp_path / "samples.jsonl"
    logged.write_text(json.dumps({"doc": {"task_id": "t/0"}, "resps": [["    return a + b", "x"]]}) + "\n")
    assert list(humaneval.read_samples(logged, problems)) == [(ADD, ["    return a + b", "x"])]
    packed = tmp_path / "samples.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps({"task_id": "t/0", "completion": "y"}).encode()))
    assert list(humaneval.read_samples(packed, problems)) == [(ADD, ["y"])]


def test_pass_at_k_is_given_for_the_ks_that_all_tasks_allow(engine):
    (item,) = humaneval.score(engine, [(ADD, ["    return a + b\n"] * 5 + ["    return a\n"] * 5)], "m")
    assert item.scores == {"pass@1": pytest.approx(0.5), "pass@10": 1.0}
