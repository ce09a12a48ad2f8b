"""Existing files of every benchmark are scored through one entry, from a data folder of our own small rows."""

import gzip
import json
import os
from pathlib import Path

import pytest

from autoif.errors import ConfigError, DataError
from autoif.execution import ExecutionConfig
from evaluation import followbench, rescoring
from evaluation.rescoring import Existing, rescore


def jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def run(tmp_path, benchmark, responses=None, judgments=None, **options):
    files = {}
    if responses is not None:
        files["responses"] = jsonl(tmp_path / "responses.jsonl", responses)
    if judgments is not None:
        files["judgments"] = jsonl(tmp_path / "judgments.jsonl", judgments)
    found = rescore(Existing(benchmark=benchmark, model="m", data_dir=str(tmp_path), **files, **options))
    return {result.metric: result for result in found.results}, found


def test_humaneval(tmp_path):
    tests = "def check(candidate):\n    assert candidate(2) == 4\n"
    problems = [{"task_id": f"t/{i}", "prompt": "def f(x):\n", "entry_point": "f", "test": tests} for i in range(3)]
    jsonl(tmp_path / "humaneval/HumanEval.jsonl.gz", problems)
    bodies = ["    return x + x\n", "    return x\n", "    return 1 / 0\n"]
    samples = [{"task_id": f"t/{i}", "completion": body} for i, body in enumerate(bodies)]
    results, _ = run(tmp_path, "humaneval", samples, execution=ExecutionConfig(workers=1))
    assert (results["pass@1"].value, results["pass@1"].n) == (pytest.approx(1 / 3), 3)


def followbench_data(tmp_path):
    for category in followbench.CATEGORIES:
        levels = range(1 if category == "example" else 0, 6)
        rows = [{"example_id": 1, "category": category, "source": "made", "level": level,
                 "instruction": f"{category} {level}", "target": "{answer}!"} for level in levels]  # fmt: skip
        path = tmp_path / f"followbench/{category}_constraints.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(rows))
    return [
        {"prompt_new": f"{category} {level}", "choices": [{"message": {"content": "done!"}}]}
        for category in followbench.CATEGORIES
        for level in range(1, 6)
    ]


def test_followbench_with_rules_alone_says_what_is_left_out(tmp_path):
    results, found = run(tmp_path, "followbench", followbench_data(tmp_path))
    assert results["hsr"].value == results["hsr/example"].value == 1.0
    assert results["hsr"].sample
    assert results["hsr"].judge is None
    assert found.notes == ["no judgments: only the groups that rules judge are scored"]


def test_followbench_with_judgments(tmp_path):
    answers, judgments = followbench_data(tmp_path), []
    for category in followbench.CATEGORIES[:-1]:
        for level in range(1, 6):
            prompt = "".join(f"#Initial Instruction + {n} constraint{'s' * (n > 1)}#\n{category} {n}\n\n"
                             for n in range(1, level + 1))  # fmt: skip
            prompt += f"#Answer of Initial Instruction + {level} constraint{'s' * (level > 1)}#\ndone!\n\n"
            verdict = "?" if level == 5 else str(["YES"] * level)
            judgments.append({"prompt_new": prompt, "choices": [{"message": {"content": verdict}}]})
    results, found = run(tmp_path, "followbench", answers, judgments, judge="gpt-4-0613")
    assert results["hsr_level_4"].value == 1.0
    assert results["hsr_level_5"].value == pytest.approx(1 / 6)
    assert results["csl"].value == pytest.approx((5 * 4 + 5) / 6)
    assert (results["csl"].judge, results["csl"].sample) == ("gpt-4-0613", False)
    assert found.notes == ["5 judgments cannot be parsed and count as nothing satisfied"]


def test_infobench(tmp_path):
    common = {"instruction": "Do", "subset": "Hard_set", "decomposed_questions": ["a", "b"]}
    items = [{"id": f"i{n}", "input": str(n), **common} for n in range(2)]
    jsonl(tmp_path / "infobench/InfoBench.json", items)
    judgments = [{"id": "i0", "output": "x", "eval": [True, True]}, {"id": "i1", "output": "y", "eval": [False, True]}]
    results, _ = run(tmp_path, "infobench", judgments=judgments, judge="gpt-4-0314")
    assert (results["drfr"].value, results["drfr/hard"].n, results["drfr"].judge) == (0.75, 4, "gpt-4-0314")


def test_mt_bench(tmp_path):
    questions = [{"question_id": n, "category": "stem", "turns": ["a?", "b?"]} for n in (1, 2)]
    jsonl(tmp_path / "mt_bench/question.jsonl", questions)
    jsonl(tmp_path / "mt_bench/reference_answer_gpt-4.jsonl", [])
    judgments = [{"question_id": n, "model": "m", "judge": ["gpt-4", "p"], "turn": turn, "score": n + turn}
                 for n in (1, 2) for turn in (1, 2)]  # fmt: skip
    results, _ = run(tmp_path, "mt_bench", judgments=judgments)
    assert (results["score"].value, results["score/turn_1"].value, results["score"].judge) == (3.0, 2.5, "gpt-4")


@pytest.mark.parametrize(
    ("name", "folder", "category", "metric"),
    [
        ("arena_hard_v0.1", "v0.1", "arena-hard-v0.1", "win_rate"),
        ("arena_hard_v2.0", "v2.0", "creative_writing", "win_rate/creative_writing"),
    ],
)
def test_arena_hard(tmp_path, name, folder, category, metric):
    jsonl(tmp_path / f"arena_hard/{folder}/question.jsonl", [{"uid": "u", "category": category, "prompt": "p"}])
    games = [{"score": "B>>A"}, {"score": "B>A"}]
    results, _ = run(tmp_path, name, judgments=[{"uid": "u", "model": "m", "judge": "gpt-4.1", "games": games}])
    assert (results[metric].value, results[metric].judge) == (0.75, "gpt-4.1")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no benchmark mmmu: there are ifeval, gsm8k"):
        run(tmp_path, "mmmu")
    with pytest.raises(DataError, match=r"infobench/InfoBench\.json is missing"):
        run(tmp_path, "infobench")
    jsonl(tmp_path / "infobench/InfoBench.json", [])
    with pytest.raises(ConfigError, match="infobench needs a file of judgments"):
        run(tmp_path, "infobench")


@pytest.mark.skipif("AUTOIF_DATA_DIR" not in os.environ, reason="AUTOIF_DATA_DIR is not set: no published prompts")
def test_ifeval_and_gsm8k_from_the_published_prompts(tmp_path):
    pytest.importorskip("lm_eval")
    data = os.environ["AUTOIF_DATA_DIR"]
    asked = [json.loads(line) for line in (Path(data) / "ifeval/input_data.jsonl").read_text().split("\n")[:3]]
    path = jsonl(tmp_path / "r.jsonl", [{"prompt": row["prompt"], "response": "no, thanks"} for row in asked])
    with pytest.raises(DataError, match="has no answer for: 1012"):
        rescore(Existing(benchmark="ifeval", model="m", data_dir=data, responses=path))
    found = rescore(Existing(benchmark="ifeval", model="m", data_dir=data, responses=path, partial=True))
    assert [(r.metric, r.n, r.sample) for r in found.results][:2] == [
        ("prompt_level_strict_acc", 3, True), ("prompt_level_loose_acc", 3, True)]  # fmt: skip
    assert found.notes[0].startswith("538 questions have no answer: 1012")
    path = jsonl(tmp_path / "g.jsonl", [{"key": 0, "response": "So 18."}, {"key": 1, "response": "4"}])
    found = rescore(Existing(benchmark="gsm8k", model="m", data_dir=data, responses=path, partial=True))
    assert {r.metric: r.value for r in found.results}["flexible_extract"] == 0.5


def test_every_benchmark_has_an_arm():
    for name in rescoring.BENCHMARKS:
        with pytest.raises((ConfigError, DataError)) as error:
            rescore(Existing(benchmark=name, model="m", data_dir="/nonexistent"))
        assert "no benchmark" not in str(error.value)
