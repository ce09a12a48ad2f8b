"""Exported training sets are what their readers want: LLaMA-Factory by its contract, TRL, ``datasets``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from report_run import RunSize, plausible_run

from autoif.config import ExportFormat, QueriesConfig, QuerySource, RecordedSupervisor, RunConfig, TaskConfig
from autoif.errors import ConfigError
from autoif.interchange import export as exports
from autoif.interchange.card import About
from autoif.interchange.export import export_run
from autoif.interchange.training_sets import TrainingSet, export
from autoif.interchange.upstream import Kind, read
from autoif.records import Contamination, Message, PreferencePair, Prompt, Record, Reject, SftExample, Verifier
from autoif.stage import Stage, run_stage
from autoif.store import Store, StoreError

LOWER = "def evaluate(response):\n    return response.islower()"
SYSTEM = Message(role="system", content="Be kind.")
USER = Message(role="user", content="Use “small” letters.\nWhat?")
ANSWER = Message(role="assistant", content="low\n\u2028é")
EARLIER = (Message(role="user", content="Hi"), Message(role="assistant", content="Hello"))


def example(*messages: Message) -> SftExample:
    return SftExample(id="s", messages=messages, instruction="i", functions=(LOWER,), accuracy=1.0, score=9.0)


def pair(*prompt: Message, level: str = "query") -> PreferencePair:
    return PreferencePair(
        id="p", prompt=prompt, chosen="low", rejected="UP", level=level, chosen_accuracy=1.0, rejected_accuracy=0.0
    )


EXAMPLES = [example(USER, ANSWER), example(SYSTEM, *EARLIER, USER, ANSWER)]
PAIRS = [pair(USER), pair(SYSTEM, *EARLIER, USER)]
SETS = [
    TrainingSet("sft", SftExample, EXAMPLES),
    TrainingSet("preference", PreferencePair, PAIRS),
    TrainingSet("online_1", PreferencePair, [pair(USER, level="online")]),
]
LISTS = (ExportFormat.alpaca, ExportFormat.sharegpt)


def loaded(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.split("\n") if line]


def exported(folder: Path, format: ExportFormat, **options: Any) -> dict[str, Any]:
    files = export(format, folder, SETS, **options)
    assert not list(folder.rglob("*.part"))
    assert {path: len(loaded(path)) for path in files} == files
    return {path.stem: loaded(path) for path in files}


def llama_factory(entry: dict[str, Any], row: dict[str, Any]) -> tuple[list[tuple[str, str]], list[str], str]:
    """(prompt turns, answers, system) of a row by LLaMA-Factory's documented contract: each column that an entry
    names is looked up in each row; sharegpt turns alternate, a system turn in front; a ranking row has two answers."""
    columns = entry["columns"]
    assert set(columns.values()) <= set(row)
    ranking = entry.get("ranking", False)
    if entry.get("formatting", "alpaca") == "alpaca":
        assert set(columns) <= {"prompt", "query", "response", "system", "history", "chosen", "rejected"}
        turns = [turn for asked, said in row[columns["history"]] for turn in (("user", asked), ("assistant", said))]
        asked = [row[columns[name]] for name in ("prompt", "query") if row[columns[name]]]
        named = ("chosen", "rejected") if ranking else ("response",)
        return [*turns, ("user", "\n".join(asked))], [row[columns[name]] for name in named], row[columns["system"]]
    assert set(columns) <= {"messages", "chosen", "rejected"}
    spoken = list(row[columns["messages"]])
    system = spoken.pop(0)["value"] if spoken[0]["from"] == "system" else ""
    assert [turn["from"] for turn in spoken] == [("human", "gpt")[i % 2] for i in range(len(spoken))]
    assert len(spoken) % 2 == int(ranking)
    answers = [row[columns[name]] for name in ("chosen", "rejected")] if ranking else [spoken.pop()]
    assert {answer["from"] for answer in answers} == {"gpt"}
    told = [({"human": "user", "gpt": "assistant"}[turn["from"]], turn["value"]) for turn in spoken]
    return told, [answer["value"] for answer in answers], system


@pytest.mark.parametrize("format", LISTS)
def test_llama_factory_reads_back_what_was_written(tmp_path: Path, format: ExportFormat) -> None:
    found = exported(tmp_path, format, about=About(name="demo"))
    info = loaded(tmp_path / "dataset_info.json")
    assert {entry["file_name"] for entry in info.values()} == {"sft.json", "preference.json", "online_1.json"}
    assert [name for name, entry in info.items() if entry.get("ranking")] == ["demo_preference", "demo_online_1"]
    alone, after = [("user", USER.content)], [("user", "Hi"), ("assistant", "Hello"), ("user", USER.content)]
    read_sft = [llama_factory(info["demo_sft"], row) for row in found["sft"]]
    assert read_sft == [(alone, [ANSWER.content], ""), (after, [ANSWER.content], "Be kind.")]
    read_pairs = [llama_factory(info["demo_preference"], row) for row in found["preference"]]
    assert read_pairs == [(alone, ["low", "UP"], ""), (after, ["low", "UP"], "Be kind.")]


def test_a_point_of_a_sweep_has_a_name_that_llama_factory_can_take(tmp_path: Path) -> None:
    exported(tmp_path, ExportFormat.alpaca, about=About(name="sweep/threshold=0.5,seed=1"))
    assert next(iter(loaded(tmp_path / "dataset_info.json"))) == "sweep_threshold_0.5_seed_1_sft"


@pytest.mark.parametrize("format", [*LISTS, ExportFormat.trl, ExportFormat.chat, ExportFormat.upstream])
def test_every_file_loads_with_datasets(tmp_path: Path, format: ExportFormat) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    for path, count in export(format, tmp_path / "out", SETS).items():
        rows = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
        assert len(rows) == count
        assert rows.to_list() == [{**dict.fromkeys(rows.column_names), **row} for row in loaded(path)]


def test_a_datasets_folder_loads_set_by_set_with_the_functions_beside_each_row(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    export(ExportFormat.datasets, tmp_path / "out", SETS, functions=lambda row: [LOWER])
    names = datasets.get_dataset_config_names(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert names == ["sft", "preference", "online_1"]
    found = {
        name: datasets.load_dataset(str(tmp_path / "out"), name, split="train", cache_dir=str(tmp_path / "cache"))
        for name in names
    }
    assert [len(rows) for rows in found.values()] == [2, 2, 1]
    assert found["sft"][0]["functions"] == found["preference"][0]["functions"] == [LOWER]
    assert found["sft"][0]["prompt"] == [{"role": "user", "content": USER.content}]
    assert found["online_1"][0]["level"] == "online"
    assert (found["sft"][1]["score"], found["preference"][0]["rejected_accuracy"]) == (9.0, 0.0)


def test_trl_is_conversational(tmp_path: Path) -> None:
    found = exported(tmp_path, ExportFormat.trl)
    assert found["sft"][0]["prompt"] == [{"role": "user", "content": USER.content}]
    assert found["sft"][0]["completion"] == [{"role": "assistant", "content": ANSWER.content}]
    assert found["preference"][0]["rejected"] == [{"role": "assistant", "content": "UP"}]
    assert set(found["online_1"][0]) == {"prompt", "chosen", "rejected"}


def test_trl_takes_both_kinds_as_its_own(tmp_path: Path) -> None:
    data_utils = pytest.importorskip("trl.data_utils", reason="TRL is not installed")
    found = exported(tmp_path, ExportFormat.trl)
    assert data_utils.is_conversational(found["sft"][0])
    assert data_utils.is_conversational(found["preference"][0])

    class Tokenizer:
        """Puts turns one after another: what TRL asks of a chat template."""

        chat_template = "x"

        def apply_chat_template(self, turns: Any, **_: Any) -> str:
            return "".join(f"<{turn['role']}>{turn['content']}</>" for turn in turns)

    for name, keys in (("sft", {"prompt", "completion"}), ("preference", {"prompt", "chosen", "rejected"})):
        shown = data_utils.apply_chat_template(found[name][1], Tokenizer())
        assert set(shown) == keys
        assert shown["prompt"].startswith("<system>Be kind.</><user>Hi</>")


def test_chat_is_messages(tmp_path: Path) -> None:
    found = exported(tmp_path, ExportFormat.chat)
    assert [turn["role"] for turn in found["sft"][0]["messages"]] == ["user", "assistant"]
    asked = [{"role": "user", "content": USER.content}]
    assert found["preference"][0] == {"prompt": asked, "chosen": "low", "rejected": "UP"}


def test_upstream_results_are_read_back_all_pairs_in_one_file(tmp_path: Path) -> None:
    found = exported(tmp_path, ExportFormat.upstream)
    assert found["pairs"] == [{"instruction": USER.content, "positive": "low", "negative": "UP"}] * 3
    rows = [row for row in read(Kind.sft, tmp_path / "sft.json") if not isinstance(row, Reject)]
    # Their format has no column for a system turn.
    assert [row.messages for row in rows] == [(USER, ANSWER), (*EARLIER, USER, ANSWER)]  # type: ignore[attr-defined]


def test_the_card_says_what_is_in_it_how_it_came_about_and_on_what_terms(tmp_path: Path) -> None:
    found = Contamination(
        data="sft_dataset", benchmark="ifeval", train=2, test=541, overlapping=3, contaminated=1, rows=1, words=13,
        share=0.5,
    )  # fmt: skip
    about = About(
        name="demo",
        sources=[("answers", "Qwen2.5-Coder-1.5B", "Apache-2.0")],
        settings={"pipeline": "paper"},
        funnel=[("cross_verify", 48, {"too_few_cases": 1234})],
        contamination=[found],
    )
    export(ExportFormat.datasets, tmp_path, SETS, about)
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\ntask_categories:\n")
    assert "- n<1K\n" in card
    assert "    path: data/preference.jsonl\n" in card
    for line in (
        "| sft | 2 | prompts with answers that code has verified |",
        "| cross_verify | 48 | too_few_cases 1,234 |",
        "| sft_dataset | ifeval | 541 | 3 | 1 |",
        "| answers | Qwen2.5-Coder-1.5B | Apache-2.0 |",
        "- pipeline: paper",
    ):
        assert f"{line}\n" in card


@pytest.mark.parametrize("format", ExportFormat)
def test_an_empty_set_is_a_whole_file_and_no_set_is_none(tmp_path: Path, format: ExportFormat) -> None:
    (only,) = export(format, tmp_path, [TrainingSet("preference", PreferencePair, [])]).items()
    assert only[1] == 0
    assert loaded(only[0]) == []
    assert export(format, tmp_path / "none", []) == {}


# --- of a run


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "empty.jsonl"
    path.write_text('{"autoif_recording":1,"model":"teacher"}\n')
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, recording: Path) -> Any:
    made = plausible_run(tmp_path_factory.mktemp("run"), RunSize(instructions=20, heldout=4, steps=2)).run()
    supervisor = RecordedSupervisor(path=str(recording))
    return replace(made, config=replace(made.config, supervisor=supervisor))


def test_a_run_exports_its_samples_and_each_iterations_pairs_with_their_functions(run: Any, tmp_path: Path) -> None:
    config = replace(run.config, task=TaskConfig(format=ExportFormat.datasets, folder=str(tmp_path)))
    files = export_run(config, run.stages, run.store)
    assert [path.stem for path in files] == ["sft", "online_1", "online_2"]
    rows = loaded(tmp_path / "data/online_1.jsonl")
    assert rows
    assert all("def evaluate" in row["functions"][0] for row in rows)
    asked = {
        prompt.text: [function.code for function in prompt.functions]
        for stage in run.stages
        if stage.record is Prompt
        for prompt in stage.entry(run.store).records(Prompt)
    }
    assert all(row["functions"] == asked[row["prompt"][-1]["content"]] for row in rows)
    card = (tmp_path / "README.md").read_text()
    assert "| instructions, functions, answers, scores | recorded:teacher |" in card
    assert "| cross_verify |" in card


def test_the_authors_format_has_the_file_of_every_step_and_each_is_read_back(run: Any, tmp_path: Path) -> None:
    config = replace(run.config, task=TaskConfig(format=ExportFormat.upstream, folder=str(tmp_path)))
    files = {path.stem: (path, count) for path, count in export_run(config, run.stages, run.store).items()}
    assert set(files) == {kind.value for kind in Kind}
    for kind in Kind:
        path, count = files[kind.value]
        found = [row for row in read(kind, path) if not isinstance(row, Reject)]
        # A row a response there, a prompt here: their neighbours become one.
        assert len(found) == count or (kind is Kind.query_rft_score and 0 < len(found) < count), kind
    made = {stage.name: stage for stage in run.stages}
    verified = list(made["cross_verify"].entry(run.store).records(Verifier))
    back = [row for row in read(Kind.cross_validation, files["cross_validation"][0]) if isinstance(row, Verifier)]
    assert [[f.code for f in row.functions] for row in back] == [[f.code for f in row.functions] for row in verified]


def test_the_authors_format_needs_no_training_set(tmp_path: Path, recording: Path) -> None:
    made = plausible_run(tmp_path, RunSize(instructions=6, heldout=2, steps=1)).run(until=3)
    supervisor = RecordedSupervisor(path=str(recording))
    task = TaskConfig(format=ExportFormat.upstream, folder=str(tmp_path / "out"))
    files = export_run(replace(made.config, supervisor=supervisor, task=task), made.stages, made.store)
    assert [path.name for path in files] == ["seed_instruction.txt", "eval_func_rft.jsonl", "cross_validation.jsonl"]


def test_where_the_queries_are_from_is_said(run: Any, tmp_path: Path) -> None:
    dump = replace(run.config.pipeline, queries=QueriesConfig(source=QuerySource.sharegpt, path="dumps/sharegpt.json"))
    told = exports.about(replace(run.config, pipeline=dump), [], run.store)
    assert ("queries", "sharegpt.json", "the dump's; ShareGPT's users gave none") in told.sources


def test_the_card_names_the_seed_of_the_data_and_the_runs_own_where_it_is_another(run: Any) -> None:
    config = replace(run.config, seed=4, pipeline=replace(run.config.pipeline, seed=7))
    told = exports.about(config, [], run.store).settings
    assert (told["seed"], told["seed of the online pairs"]) == ("7", "4")
    same = exports.about(replace(config, seed=7), [], run.store).settings
    assert same["seed"] == "7"
    assert "seed of the online pairs" not in same


def test_a_run_without_a_training_set_and_a_folder_that_cannot_be_written_are_one_line(
    run: Any, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"demo has no training set in .* yet: run it first"):
        export_run(run.config, run.stages, Store(tmp_path / "elsewhere"))
    (tmp_path / "file").write_text("")
    config = replace(run.config, task=TaskConfig(folder=str(tmp_path / "file")))
    with pytest.raises(StoreError, match=r"cannot write to .*set task\.folder"):
        export_run(config, run.stages, run.store)


def stage(name: str, record: type[Record], *inputs: Stage, label: str = "") -> Stage:
    return Stage(name, record, lambda context: (), inputs=inputs, label=label)


@pytest.mark.parametrize(
    "made, expected",
    [
        (stage("sft_dataset", SftExample), "sft"),
        (stage("conversations", SftExample), "sft"),
        (stage("import_pairs", PreferencePair), "preference"),
        (stage("preference_dataset", PreferencePair), "preference"),
        (stage("online_pairs", PreferencePair, label="online_pairs_3"), "online_3"),
        (stage("decontaminate", SftExample, stage("conversations", SftExample)), "sft"),
    ],
)
def test_sets_are_named_after_what_they_are_for(made: Stage, expected: str) -> None:
    assert exports.set_name(made) == expected


def test_what_contamination_dropped_is_not_exported(tmp_path: Path, recording: Path) -> None:
    def rows(*found: SftExample) -> Any:
        return lambda context, *inputs: iter(found)

    store = Store(tmp_path / "store")
    whole = Stage("conversations", SftExample, rows(*EXAMPLES))
    clean = Stage("decontaminate", SftExample, rows(EXAMPLES[0]), inputs=(whole,))
    for one in (whole, clean):
        run_stage(one, store, cast(Any, None))
    config = RunConfig(
        supervisor=RecordedSupervisor(path=str(recording)), task=TaskConfig(folder=str(tmp_path / "out"))
    )
    (files,) = [export_run(config, [whole, clean], store)]
    assert {path.name: count for path, count in files.items()} == {"sft.json": 1}


def test_a_mix_is_exported_once_and_whole(tmp_path: Path, recording: Path) -> None:
    def rows(*found: SftExample) -> Any:
        return lambda context, *inputs: iter(found)

    store = Store(tmp_path / "store")
    verified = Stage("sft_dataset", SftExample, rows(EXAMPLES[0]))
    general = Stage("conversations", SftExample, rows(EXAMPLES[1]))
    both = Stage("mix_examples", SftExample, rows(*EXAMPLES[:2]), inputs=(verified, general))
    for one in (verified, general, both):
        run_stage(one, store, cast(Any, None))
    config = RunConfig(
        supervisor=RecordedSupervisor(path=str(recording)), task=TaskConfig(folder=str(tmp_path / "out"))
    )
    files = export_run(config, [verified, general, both], store)
    assert {path.name: count for path, count in files.items()} == {"sft.json": 2}
