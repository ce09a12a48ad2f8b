"""The evaluation stages in the graph: real store, real execution, a scripted model."""

import json
from pathlib import Path

import pytest

from autoif.config import BenchmarkConfig, EvaluationConfig, HeldoutConfig
from autoif.errors import DataError
from autoif.generation.base import Completion, Failure
from autoif.records import Comparison, EvaluationItem, Function, Prompt, Record, Result
from autoif.stage import Estimate, Stage, run_stage
from autoif.store import Store
from evaluation import stages
from evaluation.data import IFEVAL

SHORT = "def evaluate(response):\n    return len(response) < 20\n"
LOWER = "def evaluate(response):\n    return response == response.lower()\n"
BROKEN = "def evaluate(response):\n    raise ValueError\n"


class Policy:
    """Answers by model and prompt."""

    def __init__(self, identity, answers):
        self.identity, self.answers, self.closed = identity, answers, 0

    def generate(self, requests):
        for request in requests:
            answer = self.answers[request.messages[-1].content]
            yield answer if isinstance(answer, Failure) else Completion(text=answer)

    def close(self):
        self.closed += 1


class Engines:
    """What stages reach engines through: scripted policies, the real execution engine."""

    def __init__(self, execution, answers):
        self.execution, self.answers, self.policies = execution, answers, []

    def policy(self, model, identity):
        answers = self.answers["base" if model is None else (model / "name").read_text()]
        self.policies.append(Policy(identity, answers))
        return self.policies[-1]


class Trained(Record, frozen=True):
    """The row of a training stage."""

    name: str


def prompt(id, *functions):
    return Prompt(
        id=id,
        verifier_id="v",
        instruction="Be short.",
        query="q",
        text=f"text {id}",
        functions=tuple(Function(id=str(i), code=code) for i, code in enumerate(functions)),
    )


PROMPTS = [prompt("p1", SHORT, LOWER, BROKEN), prompt("p2", SHORT, LOWER), prompt("p3", BROKEN), prompt("p4", SHORT)]
BASE = {"text p1": "Short", "text p2": "short", "text p3": "x", "text p4": Failure(reason="content_filter")}
BETTER = {**BASE, "text p1": "short", "text p4": "s"}


@pytest.fixture
def graph(tmp_path, engine):
    """Prompts and a trained model in a store, and a function that runs a stage."""
    store, engines = Store(tmp_path / "store"), Engines(engine, {"base": BASE, "better": BETTER})

    def train(context):
        (context.files / "model").mkdir()
        (context.files / "model/name").write_text("better")
        yield Trained(name="better")

    prompts = Stage("prompts", Prompt, lambda context: iter(PROMPTS))
    trained = Stage("train", Trained, train)
    for stage in (prompts, trained):
        run_stage(stage, store, engines)

    def run(name, record, function, config, *inputs):
        stage = Stage(name, record, function, config, inputs, seed=0, estimate=lambda *counts: Estimate())
        manifest = run_stage(stage, store, engines)
        return stage, manifest, list(stage.entry(store).records(record))

    return prompts, trained, engines, run


def heldout(graph):
    prompts, trained, _, run = graph
    base = run("base_heldout", EvaluationItem, stages.answer_heldout, stages.AnswerHeldout(base="tiny"), prompts)
    better = run(
        "better_heldout", EvaluationItem, stages.answer_heldout, stages.AnswerHeldout(model="sft"), prompts, trained
    )
    return base, better


def test_functions_judge_the_answers_and_only_evidence_counts(graph):
    (_, manifest, items), _ = heldout(graph)
    assert [item.id for item in items] == ["p1", "p2", "p3", "p4"]
    assert [item.scores["accuracy"] for item in items] == [0.5, 1.0, 0.0, 0.0]
    assert [item.scores["followed"] for item in items] == [0.0, 1.0, 0.0, 0.0]
    assert items[0].detail == "true false error"
    assert items[2].detail == "error (no evidence)"
    assert items[3].detail == "no answer: content_filter"
    assert (manifest.facts["unanswerable"], manifest.facts["no_evidence"]) == (1, 1)


def test_base_and_trained_are_asked_the_same_and_closed(graph):
    (_, _, base), (_, _, better) = heldout(graph)
    _, _, engines, _ = graph
    assert [item.prompt for item in base] == [item.prompt for item in better]
    assert [item.model for item in better] == ["sft"] * 4
    assert [policy.closed for policy in engines.policies] == [1, 1]
    assert engines.policies[0].identity == "tiny"
    assert engines.policies[1].identity not in ("tiny", "base")


def test_the_summary_has_an_interval_for_each_number_and_pairs_the_models(graph):
    (base, _, _), (better, _, _) = heldout(graph)
    *_, run = graph
    _, _, results = run("summary", Result, stages.summarise, None, base, better)
    table = {(r.metric, r.model): r for r in results}
    assert table["followed", "base"].value == 0.25
    assert table["followed", "sft"].value == 0.75
    assert all(r.n == 4 and r.low <= r.value <= r.high and not r.sample for r in results)
    _, _, (followed, accuracy) = run("compare", Comparison, stages.compare, None, base, better)
    assert (followed.gained, followed.lost, followed.p_value) == (("p1", "p4"), (), 0.5)
    assert accuracy.difference == pytest.approx(0.375)


def test_ifeval_runs_from_the_data_folder_and_a_limit_marks_a_sample(graph, tmp_path, monkeypatch):
    pytest.importorskip("lm_eval")
    nltk = pytest.importorskip("nltk")
    monkeypatch.setenv("NLTK_DATA", "")
    monkeypatch.setattr(nltk.data, "path", list(nltk.data.path))
    (tmp_path / "nltk_data/tokenizers/punkt_tab").mkdir(parents=True)
    (tmp_path / "ifeval").mkdir()
    rows = [
        {
            "key": key,
            "prompt": f"Without a comma: {key}?",
            "instruction_id_list": ["punctuation:no_comma"],
            "kwargs": [{}],
        }
        for key in (1, 2, 3)
    ]
    (tmp_path / IFEVAL.file).write_text("".join(json.dumps(row) + "\n" for row in rows))
    *_, engines, run = graph
    engines.answers["base"] = {rows[0]["prompt"]: "No.", rows[1]["prompt"]: "Well, no."}
    config = EvaluationConfig(name="t", ifeval=BenchmarkConfig(limit=2, max_tokens=9), data_dir=str(tmp_path))
    stage, manifest, items = run(
        "ifeval", EvaluationItem, stages.answer_benchmark, stages.benchmark_config(config, "ifeval", "base", "b")
    )
    assert [item.scores["prompt_level_strict_acc"] for item in items] == [1.0, 0.0]
    assert manifest.facts["sample"]
    assert len(manifest.facts["data_sha256"][IFEVAL.file]) == 64
    _, _, results = run("summary", Result, stages.summarise, None, stage)
    assert all(r.sample and r.n == 2 for r in results)


def test_missing_benchmark_data_is_one_line_that_says_what_to_put_where(graph, tmp_path):
    *_, run = graph
    config = EvaluationConfig(name="t", data_dir=str(tmp_path))
    with pytest.raises(DataError, match=r"ifeval/input_data\.jsonl is missing: put the benchmark's file there"):
        run("ifeval", EvaluationItem, stages.answer_benchmark, stages.benchmark_config(config, "ifeval", "base", "b"))


def test_only_with_data_leaves_ifeval_out_and_says_why(tmp_path):
    def reason(**options):
        return stages.available(EvaluationConfig(name="t", **options))["ifeval"]

    assert reason(only_with_data=True) == "no evaluation.data_dir with ifeval/input_data.jsonl"
    assert reason(only_with_data=True, data_dir=str(tmp_path)).endswith("ifeval/input_data.jsonl is missing")
    assert reason(data_dir=str(tmp_path)) is None
    off = EvaluationConfig(name="t", heldout=HeldoutConfig(limit=0), ifeval=BenchmarkConfig(limit=0))
    assert stages.available(off) == {}


def test_the_data_is_part_of_what_a_result_is_but_its_folder_is_not(tmp_path):
    from autoif.stage import identity

    configs = []
    for name, text in (("a", "1\n"), ("b", "1\n"), ("c", "2\n")):
        path = Path(tmp_path / name) / IFEVAL.file
        path.parent.mkdir(parents=True)
        path.write_text(text)
        configs.append(
            stages.benchmark_config(EvaluationConfig(name="t", data_dir=str(tmp_path / name)), "ifeval", "base", "b")
        )
    a, b, c = map(identity, configs)
    assert a == b != c


def test_gsm8k_runs_from_the_data_folder(graph, tmp_path):
    pytest.importorskip("lm_eval")
    rows = [{"question": f"What is {n} + 1?", "answer": f"It is {n} + 1.\n#### {n + 1}"} for n in (1, 2, 3)]
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k/test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    *_, engines, run = graph
    asked = [f"Q: {row['question']}\nA: Let's think step by step." for row in rows]
    engines.answers["base"] = {asked[0]: "So it is 2.", asked[1]: Failure(reason="content_filter")}
    section = BenchmarkConfig(limit=2, max_tokens=9)
    config = stages.benchmark_config(
        EvaluationConfig(name="t", gsm8k=section, data_dir=str(tmp_path)), "gsm8k", "m", "b"
    )
    _, manifest, items = run("gsm8k", EvaluationItem, stages.answer_benchmark, config)
    assert [(item.id, item.scores["flexible_extract"], item.detail) for item in items] == [
        ("0", 1.0, ""), ("1", 0.0, "content_filter")]  # fmt: skip
    assert (manifest.facts["unanswerable"], manifest.facts["sample"]) == (1, True)
