"""``task=import`` reads every file of the authors' scripts; runs start from each at the stage it belongs to."""

import json
import re

import pytest
from scripted import verifier_json

import run
from autoif import jsonrows
from autoif.border import load
from autoif.config import Start
from autoif.errors import ConfigError
from autoif.interchange.importing import go_on, import_file
from autoif.interchange.upstream import Kind
from autoif.interchange.upstream_export import RECORDS
from autoif.pipeline import build
from autoif.records import read_records

LOWER = "def evaluate(response):\n    return response.islower()"
VERIFIED = {"instruction": "Use lower case", "eval_func": [[LOWER, 1.0]], "cases": [["low", True], ["UP", False]]}
ROWS = {
    Kind.eval_func_rft: {"instruction": "Use lower case", "gpt-answer": [verifier_json(LOWER, ("low", True))]},
    Kind.cross_validation: VERIFIED,
    Kind.back_trans: VERIFIED | {"back_instruction": ["Write small."], "nli_scores": ["entailment"]},
    Kind.query_rft: VERIFIED | {"prompt": "p\n[Query] What is it?", "gpt-answer": ["low", "UP"]},
    Kind.query_rft_score: {"instruction": "Use lower case", "query": "Why?", "response": "a", "gen": ["Score: 9"]},
    Kind.dpo_query_w_funcs: {"prompt": "Why? Small.", "eval_func": [[LOWER, 1.0]], "gpt-answer": ["low", "UP"]},
    Kind.dpo_query_eval_score_results: {"query": "Why? Small.", "response": [["low", 1.0], ["UP", 0.0]]},
    Kind.sft: {"instruction": "Why?", "input": "", "output": "low", "history": []},
    Kind.pairs: {"instruction": "Why?", "positive": "low", "negative": "UP"},
}


def written(folder, kind, *more):
    path = folder / f"{kind.value} file.jsonl"
    if kind is Kind.seed_instruction:
        path.write_text("Use lower case\n")
    else:
        jsonrows.write_lines(path, [ROWS[kind], *more])
    return path


@pytest.mark.parametrize("kind", Kind)
def test_the_command_as_it_is_documented_leaves_records_and_says_how_to_go_on(tmp_path, monkeypatch, capsys, kind):
    path = written(tmp_path, kind)
    monkeypatch.chdir(tmp_path)
    assert run.main(["task=import", f"source={path.name!r}", f"kind={kind.value}"]) == 0
    said = capsys.readouterr().out
    assert f"1 {RECORDS[kind].__name__} records" in said
    rows = list(read_records(tmp_path / "runs" / "demo" / "import" / f"{kind.value}.jsonl", RECORDS[kind]))
    assert len(rows) == 1
    assert said.splitlines()[-1].startswith("go on with: python run.py pipeline.")


def test_rows_that_cannot_be_read_are_counted_and_kept_with_their_reason(tmp_path):
    path = written(tmp_path, Kind.cross_validation, {"instruction": 3}, {"instruction": "x"})
    config = load(["task=import", f"source='{path}'", "kind=cross_validation", f"paths.runs={tmp_path}"])
    lines = list(import_file(config))
    assert lines[1].startswith("2 rows dropped (malformed_row 2)")
    dropped = (tmp_path / "demo/import/cross_validation.rejected.jsonl").read_text().splitlines()
    assert [json.loads(row)["reason"] for row in dropped] == ["malformed_row"] * 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "add kind= one of"),
        (["kind=cross_validatoin"], "did you mean cross_validation"),
        (["kind=pairs"], "add source=FILE"),
        (["kind=pairs", "source=none.json"], "No such file"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, settings, message):
    monkeypatch.chdir(tmp_path)
    assert run.main(["task=import", *settings]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_kind_says_so(tmp_path):
    path = written(tmp_path, Kind.pairs)
    config = load(["task=import", f"source='{path}'", "kind=query_rft", f"paths.runs={tmp_path}"])
    with pytest.raises(ConfigError, match=r"no query_rft row can be read \(malformed_row 1\).*try another kind"):
        list(import_file(config))


FIRST = {
    Start.eval_func_rft: ["import_verifiers", "cross_verify"],
    Start.cross_validation: ["import_verifiers", "back_translate"],
    Start.back_trans: ["import_verifiers", "nli_filter"],
    Start.query_rft: ["import_verifiers", "queries", "attach_queries", "import_answers", "verify_responses"],
    Start.query_rft_score: ["import_answers", "score", "sft_dataset", "train_sft"],
    Start.dpo_query_w_funcs: ["import_answers", "import_prompts", "verify_responses", "score", "sft_dataset"],
    Start.dpo_query_eval_score_results: ["import_answers", "verify_responses", "sft_dataset", "train_sft"],
    Start.sft: ["import_examples", "train_sft"],
    Start.pairs: ["import_pairs", "chosen_answers", "train_sft", "train_dpo"],
}


@pytest.mark.parametrize("kind", FIRST)
def test_what_is_said_starts_a_run_at_the_stage_that_the_file_belongs_to(tmp_path, recording_of_nobody, kind):
    path = written(tmp_path, Kind(kind.value))
    settings = go_on(Kind(kind.value), path).split(" pipeline.start.path=")
    rest = settings[1].split("' ", 1)[1].split() if "' " in settings[1] else []
    config = load([settings[0], f"pipeline.start.path='{path}'", *rest, f"supervisor.path={recording_of_nobody}"])
    titles = [stage.title for stage in build(config)]
    assert titles[: len(FIRST[kind])] == FIRST[kind]


@pytest.fixture(scope="session")
def recording_of_nobody(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "empty.jsonl"
    path.write_text('{"autoif_recording":1,"model":"nobody"}\n')
    return path


def test_pairs_go_with_a_file_of_samples(tmp_path):
    settings = [f"pipeline.start.path='{written(tmp_path, Kind.pairs)}'", "pipeline.start.kind=pairs"]
    settings += [f"pipeline.start.sft='{written(tmp_path, Kind.sft)}'", "evaluation=none", "algorithm=offline_dpo"]
    stages = {stage.title: stage for stage in build(load(settings))}
    assert list(stages) == ["import_examples", "import_pairs", "train_sft", "train_dpo"]
    assert [s.title for s in stages["train_dpo"].inputs] == ["import_pairs", "train_sft", "train_sft"]
    assert [s.title for s in stages["train_sft"].inputs] == ["import_examples"]


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Kind.sft, ["algorithm=online_dpo", "evaluation=none"], "holds no prompts with functions: add algorithm=sft"),
        (Kind.query_rft_score, ["algorithm=offline_dpo", "evaluation=none"], "holds no answers: add algorithm=sft"),
        (Kind.pairs, ["algorithm=offline_dpo"], "add evaluation.heldout.limit=0"),
    ],
)
def test_what_a_file_lacks_is_said_with_what_to_do(tmp_path, kind, settings, message):
    start = [f"pipeline.start.kind={kind.value}", f"pipeline.start.path='{written(tmp_path, kind)}'"]
    with pytest.raises(ConfigError, match=message):
        build(load([*start, *settings]))


@pytest.mark.parametrize("kind", [kind for kind in FIRST if kind is not Start.eval_func_rft])
def test_data_are_made_of_each_file_and_reported_without_a_call(
    tmp_path, monkeypatch, capsys, recording_of_nobody, kind
):
    path = written(tmp_path, Kind(kind.value))
    monkeypatch.chdir(tmp_path)
    settings = [f"pipeline.start.kind={kind.value}", f"pipeline.start.path='{path}'", "pipeline=demo_best"]
    settings += [f"supervisor.path={recording_of_nobody}", "supervisor.pass_over=true", "pipeline.score.enabled=false"]
    assert run.main([*settings, "algorithm=none", "evaluation=none"]) == 0
    said = capsys.readouterr().out
    assert "report: runs/demo/report.html" in said
    if kind not in (Start.cross_validation, Start.back_trans):  # whose answers a supervisor has yet to give
        assert re.search(r"(sft_dataset|import_examples|chosen_answers) +1 kept", said)


def test_a_run_does_not_take_what_an_import_takes(capsys):
    assert run.main(["source=file.jsonl", "kind=pairs"]) == 1
    assert "pipeline.start.kind" in capsys.readouterr().err
