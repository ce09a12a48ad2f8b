"""Benchmark prompts inside training texts are found, look-alikes are not; what is found is counted and dropped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoif.border import load
from autoif.config import ContaminationConfig, OpenAISupervisor, RunConfig
from autoif.errors import AutoifError, ConfigError, DataError
from autoif.generation.base import Completion
from autoif.pipeline import build
from autoif.records import (
    AnswerGroup,
    Contamination,
    GroupAnswer,
    Message,
    PreferencePair,
    Prompt,
    Rejected,
    SftExample,
    TrainStep,
)
from autoif.requirements import requirements
from autoif.stage import Stage, run_stage
from autoif.store import Store
from autoif.synthesis.prompts import shipped
from evaluation import contamination_judge, contamination_sets, contamination_stages, contamination_task
from evaluation.contamination import COMMON, Index, Sample, excerpt, tokens
from evaluation.contamination_rows import row_sample, sample
from evaluation.judge import Judge
from evaluation.responses import Question

LONG = "Write a letter to the mayor about the old bridge over the river and ask for a new coat of green paint"
QUESTIONS = [Question("long", LONG), Question("short", "Name three rivers in France.")]


def texts(*found: str) -> list[Sample]:
    return [Sample(f"t{i}", text, text) for i, text in enumerate(found)]


def found(*rows: str, questions: list[Question] = QUESTIONS) -> list[tuple[str, str, float]]:
    index = Index({"bench": questions})
    return [(o.item, o.row, round(o.share, 2)) for row in texts(*rows) for o in index.overlaps(row)]


def test_a_copied_prompt_is_found_whatever_surrounds_it_and_however_it_is_set() -> None:
    assert found(f"Please: {LONG.upper()}!! Thanks.", "Be brief.\n- name THREE rivers, in france") == [
        ("long", "t0", 1.0), ("short", "t1", 1.0)]  # fmt: skip


def test_a_part_counts_from_half_of_the_n_grams() -> None:
    words = LONG.split()
    # 22 words hold 10 n-grams of 13: the first 18 hold 6 of them, the first 16 hold 4.
    assert len(words) == 22
    assert found(" ".join(words[:18]), " ".join(words[:16])) == [("long", "t0", 0.6)]


def test_a_text_about_the_same_thing_is_not_contaminated() -> None:
    assert not found("The old bridge over the river needs green paint, I wrote to the mayor in a letter.", "")


def test_a_few_words_count_only_as_a_line_of_their_own() -> None:
    assert not found("I can name three rivers in France and four in Spain.")


def test_boilerplate_that_many_items_share_does_not_count() -> None:
    preamble = "You are given a passage and a question about it and shall answer in one short sentence"
    items = [Question(str(i), f"{preamble}. Topic {i}: " + f"word{i} " * 12) for i in range(COMMON + 1)]
    assert not found(preamble, questions=items)
    assert [item for item, *_ in found(items[3].prompt, questions=items)] == ["3"]


@given(st.text(max_size=200), st.lists(st.text(max_size=80), max_size=4))
def test_any_text_holds_itself_and_nothing_makes_the_search_fail(text: str, others: list[str]) -> None:
    index = Index({"bench": [Question("it", text), *(Question(str(i), other) for i, other in enumerate(others))]})
    held = index.match(f"before\n{text}\nafter")
    if 8 <= len(tokens(text)) < 13 and len(others) < COMMON:
        assert held[0] == index.sizes[0] == 1
    assert all(count <= index.sizes[number] for number, count in held.items())


def test_the_evidence_shows_the_place_and_not_the_beginning_of_a_long_row() -> None:
    assert "mayor about the old bridge" in excerpt("filler words here " * 200 + LONG, LONG)
    assert excerpt("short", LONG) == "short"


def measured(rows: list[Sample], judge: Judge | None = None, candidates: int = 0) -> Contamination:
    (row,) = contamination_stages.measure(
        "sft_dataset", rows, {"bench": QUESTIONS}, ContaminationConfig(candidates=candidates), judge
    )
    return row


def test_prompts_touched_contaminated_and_the_rows_that_do_it_are_counted_apart() -> None:
    words = LONG.split()
    row = measured(texts(LONG, f"{LONG} again", " ".join(words[:14]), "Name three rivers in France", "else"))
    assert (row.train, row.test, row.overlapping, row.contaminated, row.rows) == (5, 2, 2, 2, 3)
    assert (row.rephrased, row.judge) == (None, None)
    assert {(case.item, case.row) for case in row.examples} == {("long", "t0"), ("short", "t3")}
    touched = measured(texts(" ".join(words[:14])))
    assert (touched.overlapping, touched.contaminated, touched.examples) == (1, 0, ())


class Says:
    """A judge that answers by what it is shown, and remembers it."""

    identity = "a judge"

    def __init__(self, *rules: tuple[str, str]) -> None:
        self.rules, self.shown = rules, list[str]()

    def generate(self, requests: Any) -> Any:
        for request in requests:
            text = request.messages[0].content
            self.shown.append(text)
            yield Completion(text=next((reply for part, reply in self.rules if part in text), "Nothing alike.\nNO"))

    def close(self) -> None:
        pass


REPHRASED = "Ask the mayor in a letter to have the old river bridge painted green."
PAIR = f"{LONG}\n=== Training text ===\n{REPHRASED}"


def test_a_prompt_in_other_words_is_found_by_the_judge_among_the_likest_rows() -> None:
    says = Says((PAIR, "Both ask for the same letter.\nYES"))
    rows = texts("Tell me a joke.", REPHRASED, REPHRASED, "Which paint is green?", "A letter to a friend.")
    row = measured(rows, Judge(says), candidates=2)
    assert (row.contaminated, row.rephrased, row.judge) == (0, 1, "a judge")
    assert row.asked == len(says.shown) <= 4
    assert row.examples[0].rephrased
    assert (row.examples[0].item, row.examples[0].text) == ("long", REPHRASED)
    assert not any("joke" in shown for shown in says.shown), "a row without a word in common is not shown"
    assert sum(PAIR in shown for shown in says.shown) == 1, "the same prompt is shown once"


def test_the_likest_rows_are_the_same_in_every_process() -> None:
    code = (
        "from evaluation.contamination import Sample; from evaluation.contamination_judge import Similar;"
        "from evaluation.responses import Question; from random import Random; draw = Random(0);"
        "words = [f'w{i}' for i in range(300)]; text = lambda: ' '.join(draw.choices(words, k=60));"
        "similar = Similar([Question(str(i), text()) for i in range(20)], 5);"
        "list(similar.add(Sample(str(i), text(), '') for i in range(200)));"
        "print([(pair.number, pair.key, pair.likeness) for pair in similar.candidates()])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1


def test_a_verdict_that_cannot_be_read_is_counted_and_is_no_evidence() -> None:
    row = measured(texts(REPHRASED), Judge(Says(("", "Perhaps."))), candidates=1)
    assert (row.rephrased, row.unparsable, row.asked) == (0, 2, 2)


@pytest.mark.parametrize(
    "reply, verdict",
    [("Same.\nYES", True), ("**No**\n\n", False), ("YES or NO?", None), ("", None), ("YES\nI mean it", None)],
)
def test_the_verdict_stands_on_the_last_line(reply: str, verdict: bool | None) -> None:
    assert contamination_judge.parse(reply) is verdict


def test_rows_of_every_kind_are_compared_with_all_their_text() -> None:
    asked = (Message(role="system", content="s"), Message(role="user", content="q"))
    answer = Message(role="assistant", content="a")
    sft = SftExample(id="1", messages=(*asked, answer), instruction="i", functions=(), accuracy=1.0)
    pair = PreferencePair(
        id="2", prompt=asked, chosen="c", rejected="r", level="query", chosen_accuracy=1.0, rejected_accuracy=0.0
    )
    assert sample(sft) == Sample("1", "s\nq", "s\nq\na")
    assert sample(pair) == Sample("2", "s\nq", "s\nq\nc\nr")
    group = AnswerGroup(id="3", prompt=asked, answers=(GroupAnswer(text="a", reward=1.0, advantage=0.5),))
    assert sample(group) == Sample("3", "s\nq", "s\nq\na")


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "ask"}, {"role": "assistant", "content": "say"}]},
        {"conversations": [{"from": "human", "value": "ask"}, {"from": "gpt", "value": "say"}]},
        {"instruction": "ask", "input": "", "output": "say"},
        {"prompt": "ask", "completion": "say"},
        {"prompt": [{"role": "user", "content": "ask"}], "chosen": [{"role": "assistant", "content": "say"}]},
        {"query": "ask", "response": "say", "score": 3},
    ],
)
def test_training_files_come_in_many_shapes(row: dict[str, Any]) -> None:
    read = row_sample(row)
    assert read is not None
    assert (read.prompt, read.text) == ("ask", "ask\nsay")


def test_a_row_without_text_is_none() -> None:
    assert [row_sample(row) for row in ({"id": 3}, 7, {"messages": []})] == [None] * 3
    assert row_sample("ask") is not None


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with an IFEval of two prompts."""
    path = tmp_path / "data/ifeval/input_data.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps({"key": q.id, "prompt": q.prompt}) + "\n" for q in QUESTIONS))
    return tmp_path / "data"


@pytest.fixture
def config(data: Path, tmp_path: Path, recording: Path) -> RunConfig:
    chosen = load(
        [
            f"supervisor.path={recording}",
            f"evaluation.data_dir={data}",
            "evaluation.contamination.benchmarks=[ifeval]",
            "pipeline.contamination.benchmarks=[ifeval]",
            "algorithm=sft",
        ]
    )
    chosen.paths.store = str(tmp_path / "store")
    return chosen


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "empty.jsonl"
    path.write_text('{"autoif_recording":1,"model":"nobody"}\n')
    return path


NO_ENGINES: Any = SimpleNamespace()


def trained(*rows: str) -> Stage:
    """A training stage on an SFT set of ``rows``."""

    def examples(context: Any) -> Any:
        for row in texts(*rows):
            turns = (Message(role="user", content=row.text), Message(role="assistant", content="Done."))
            yield SftExample(id=row.id, messages=turns, instruction="", functions=(), accuracy=1.0)

    return Stage("train_sft", TrainStep, lambda context, sets: (), inputs=(Stage("sft_dataset", SftExample, examples),))


def test_the_stage_compares_what_a_model_learns_from(config: RunConfig) -> None:
    model = trained("else", LONG)
    (stage,) = contamination_stages.measured(config, [model])
    store = Store(Path(config.paths.store))
    run_stage(model.inputs[0], store, NO_ENGINES)
    run_stage(stage, store, NO_ENGINES)
    (row,) = stage.entry(store).records(Contamination)
    assert (row.data, row.benchmark, row.train, row.test, row.contaminated, row.rows) == (
        "sft_dataset", "ifeval", 2, 2, 1, 1)  # fmt: skip


def test_moving_the_benchmarks_changes_nothing_and_editing_them_does(config: RunConfig, data: Path) -> None:
    model, store = trained(LONG), Store(Path(config.paths.store))

    def key() -> str:
        return contamination_stages.measured(config, [replace(model)])[0].entry(store).fingerprint

    before = key()
    config.evaluation.data_dir = str(data.rename(data.with_name("moved")))
    assert key() == before
    with Path(config.evaluation.data_dir, "ifeval/input_data.jsonl").open("a") as file:
        file.write(json.dumps({"key": "new", "prompt": "x"}) + "\n")
    assert key() != before


def test_a_benchmark_that_is_neither_at_hand_nor_on_the_hub_is_left_out(config: RunConfig) -> None:
    model = trained(LONG)
    config.evaluation.contamination.benchmarks = ["followbench", "ifeval"]
    assert [list(stage.config.benchmarks) for stage in contamination_stages.measured(config, [model])] == [["ifeval"]]
    config.evaluation.contamination.benchmarks = ["followbench"]
    assert contamination_stages.measured(config, [model]) == []


def test_a_benchmark_on_the_hub_is_fetched_unless_only_data_at_hand_counts(config: RunConfig, tmp_path: Path) -> None:
    config.evaluation.data_dir, config.evaluation.only_with_data = str(tmp_path), False
    (stage,) = contamination_stages.measured(config, [model := trained(LONG)])
    store = Store(Path(config.paths.store))
    run_stage(model.inputs[0], store, NO_ENGINES)
    with pytest.raises(DataError, match=r"input_data\.jsonl is missing"):
        run_stage(stage, store, NO_ENGINES)
    config.evaluation.only_with_data = True
    assert contamination_stages.measured(config, [model]) == []


def test_a_run_that_is_to_drop_asks_for_the_prompts_first(config: RunConfig) -> None:
    config.pipeline.contamination.drop = True
    assert not requirements(config)
    config.pipeline.contamination.benchmarks = ["followbench"]
    (need,) = requirements(config)
    assert "pipeline.contamination.drop needs the prompts of followbench: " in need.text


def test_dropping_puts_a_filter_before_anything_is_made_of_the_prompts(config: RunConfig) -> None:
    config.pipeline.contamination.drop = True
    stages = {stage.title: stage for stage in build(config)}
    assert stages["respond"].inputs == (stages["decontaminate"],)
    assert "contamination" in stages
    config.pipeline.contamination.drop = False
    assert "decontaminate" not in {stage.title for stage in build(config)}


@pytest.mark.parametrize(
    "chosen, learns",
    [
        (["data=sharegpt", "data.path={file}"], {"train_sft": "decontaminate_examples"}),
        (["data=mixed", "data.path={file}"], {"train_sft": "mix_examples", "mix_examples": "sft_dataset"}),
        (["pipeline.start.kind=sft", "pipeline.start.path={file}"], {"train_sft": "decontaminate_examples"}),
        (
            ["pipeline.start.kind=pairs", "pipeline.start.path={file}", "algorithm=offline_dpo_demo"],
            {
                "train_sft": "chosen_answers",
                "chosen_answers": "decontaminate_pairs",
                "train_dpo": "decontaminate_pairs",
            },
        ),
        (
            ["pipeline.start.kind=query_rft", "pipeline.start.path={file}"],
            {"verify_responses": "decontaminate_answers"},
        ),
    ],
)
def test_whatever_a_run_starts_from_is_filtered(
    chosen: list[str], learns: dict[str, str], data: Path, recording: Path, tmp_path: Path
) -> None:
    (tmp_path / "file.jsonl").write_text("")
    given = [text.format(file=tmp_path / "file.jsonl") for text in chosen]
    config = load(
        [
            f"supervisor.path={recording}",
            "algorithm=sft",
            "evaluation=none",
            f"evaluation.data_dir={data}",
            "pipeline.contamination.drop=true",
            "pipeline.contamination.benchmarks=[ifeval]",
            *given,
        ]
    )
    stages = {stage.title: stage for stage in build(config)}
    for title, source in learns.items():
        assert source in [stage.title for stage in stages[title].inputs], title


def test_contaminated_prompts_are_dropped_with_the_evidence(config: RunConfig) -> None:
    def prompts(context: Any) -> Any:
        for row in texts("clean", f"In verse. {LONG}"):
            yield Prompt(id=row.id, verifier_id="v", instruction="i", query="q", text=row.text, functions=())

    config.pipeline.contamination.drop = True
    made = Stage("attach_queries", Prompt, prompts)
    _, clean = contamination_stages.cleaned(config, made)
    store = Store(Path(config.paths.store))
    run_stage(made, store, NO_ENGINES)
    manifest = run_stage(clean, store, NO_ENGINES)
    assert (manifest.kept, manifest.rejected) == (1, {"contaminated": 1})
    (row,) = clean.entry(store).rejected()
    assert isinstance(row, Rejected)
    assert row.detail == "holds 100% of ifeval long"


def test_the_task_checks_a_file_and_says_what_it_could_not_read(
    config: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"prompt": "else", "completion": LONG}) + "\n{oops\n" + json.dumps({"id": 1}) + "\n")
    config.task.source = str(path)
    rows = contamination_task.check(config, [], Store(tmp_path / "store"), NO_ENGINES)
    assert "2 rows without text, or malformed, were passed over (the first: 2)" in capsys.readouterr().err
    assert json.loads(contamination_task.as_json(rows))[0]["examples"][0]["item"] == "long"
    printed = contamination_task.render(rows)
    assert "rows.jsonl  ifeval         1     2  1 (50.0%)     1 (50.0%)     1  not asked" in printed
    assert "ifeval long in row 1 of rows.jsonl (100%)" in printed
    path.write_text('{"id": 1}\n')
    with pytest.raises(DataError, match="holds no training rows"):
        contamination_task.check(config, [], Store(tmp_path / "store"), NO_ENGINES)


def test_the_task_wants_a_training_set(config: RunConfig) -> None:
    with pytest.raises(ConfigError, match=r"has no training set in .* yet"):
        contamination_task.check(config, build(config), Store(Path(config.paths.store)), NO_ENGINES)


@pytest.mark.parametrize("setting", ["evaluation", "pipeline"])
def test_a_misspelt_benchmark_is_an_error_with_the_names_there_are(setting: str, recording: Path) -> None:
    with pytest.raises(
        AutoifError, match=rf"{setting}.contamination.benchmarks: no benchmark ifevel; there are ifeval"
    ):
        load([f"supervisor.path={recording}", f"{setting}.contamination.benchmarks=[ifevel]"])


def test_every_known_benchmark_reads_from_the_published_files() -> None:
    if not (folder := os.environ.get("AUTOIF_DATA_DIR")):
        pytest.skip("AUTOIF_DATA_DIR names no folder with the benchmarks' files")
    loaded = contamination_sets.load(list(contamination_sets.SETS), folder)
    sizes = {name: len(questions) for name, questions in loaded.items()}
    assert sizes == {name: known.size for name, known in contamination_sets.SETS.items()}


def test_the_report_says_what_was_found_beside_the_results(config: RunConfig, tmp_path: Path) -> None:
    from autoif.report import html, markdown
    from autoif.report.collect import collect

    for rows, sentence in ((["else"], "Of the 2 prompts of IFEval, none stands"), ([LONG], "Prompts of IFEval stand")):
        store = Store(tmp_path / rows[0])
        model = trained(*rows)
        (stage,) = contamination_stages.measured(config, [model])
        for made in (model.inputs[0], stage):
            run_stage(made, store, NO_ENGINES)
        report = collect(config, [model.inputs[0], stage], store)
        page, text = html.render(report), markdown.render(report)
        assert sentence in page
        assert sentence in text
    assert "1 (50.0%)" in page
    assert "mayor about the old bridge" in page


@pytest.mark.parametrize("role", ["judge", "supervisor"])
def test_the_evaluations_judge_reads_the_candidates_or_else_the_supervisor(config: RunConfig, role: str) -> None:
    config.evaluation.contamination.candidates = 1
    if role == "judge":
        config.evaluation.judge = OpenAISupervisor(model="strict", base_url="http://127.0.0.1:9/v1")
    model = trained(REPHRASED)
    (stage,) = contamination_stages.measured(config, [model])
    assert list(stage.engines) == [role]
    assert ("strict" in str(stage.engines)) == (role == "judge")
    store = Store(Path(config.paths.store))
    run_stage(model.inputs[0], store, NO_ENGINES)
    engines: Any = SimpleNamespace(**{role: Says((PAIR, "YES"))})
    manifest = run_stage(stage, store, engines)
    (row,) = stage.entry(store).records(Contamination)
    assert (row.rephrased, row.judge) == (1, "a judge")
    assert manifest.facts["judged"] == row.asked


def test_the_shipped_seeds_and_queries_share_no_thirteen_words_with_any_benchmark() -> None:
    if not (folder := os.environ.get("AUTOIF_DATA_DIR")):
        pytest.skip("AUTOIF_DATA_DIR names no folder with the benchmarks' files")
    index = Index(contamination_sets.load(list(contamination_sets.SETS), folder))
    lines = [
        line for name in ("queries.txt", "seed_instructions.txt") for line in shipped(name).read_text().split("\n")
    ]
    assert len(lines) > 200
    assert [line for line in lines if index.match(line)] == []
