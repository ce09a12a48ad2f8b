"""Every option that is shipped composes, is free of contradictions, and says what the paper says where it claims to."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest

from autoif import config as schemas
from autoif.border import CONF, dump, load
from autoif.config import Precision, Reference, Schedule, Strategy
from autoif.pipeline import build
from autoif.planning import plan
from autoif.store import Store

ROOT = CONF.parent
GROUPS = sorted(path.name for path in CONF.iterdir() if path.is_dir())
OPTIONS = [f"{group}={path.stem}" for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]

COMPANIONS = {
    "setting=self_alignment": ["supervisor=self"],
    "hardware=a100x8": ["algorithm=online_dpo"],
    "hardware=h800x64": ["algorithm=online_dpo"],
    "hardware=slurm_a100x8": ["algorithm=online_dpo"],
    "hardware=slurm_h800x64": ["algorithm=online_dpo"],
    "scale=cpu": ["experiment=table3_components"],
}
"""What an option cannot do without."""

PAPER = ["pipeline=paper", "evaluation=paper"]
MODELS = {"qwen2_7b": "a100x8", "llama3_8b": "a100x8", "qwen2_72b": "h800x64", "llama3_70b": "h800x64"}


def full(option: str) -> list[str]:
    return [option, *COMPANIONS.get(option, [])]


@pytest.mark.parametrize("option", OPTIONS)
def test_option_composes_is_consistent_and_plans(option: str, recording: Path, tmp_path: Path) -> None:
    config = load(full(option))
    group, name = option.split("=")
    if group in ("task", "setting"):
        assert getattr(config, group).kind.value == name
    if group in ("pipeline", "algorithm", "hardware", "evaluation"):
        assert getattr(config, group).name == name
    if isinstance(config.supervisor, schemas.RecordedSupervisor):
        config.supervisor.path = str(recording)
    stages = build(config)
    titles = [stage.title for stage in stages]
    assert len(set(titles)) == len(titles)
    rows = plan(stages, Store(tmp_path))
    assert [row.title for row in rows] == titles
    assert sum(row.model_calls for row in rows) > 0


@pytest.mark.parametrize("model", MODELS)
def test_the_papers_runs_plan_in_both_settings(model: str) -> None:
    supervisor = model if MODELS[model] == "h800x64" else "qwen2_72b"
    setting = "self_alignment" if supervisor == model else "strong_to_weak"
    chosen = [f"model={model}", f"hardware={MODELS[model]}", f"setting={setting}", f"supervisor={supervisor}"]
    config = load([*PAPER, *chosen, "algorithm=online_dpo"])
    rows = {row.title: row for row in plan(build(config), Store(Path("no-store")))}
    assert rows["self_instruct"].records >= 36 * 100
    assert rows["respond"].model_calls == 16 * 8 * rows["write_verifiers"].records
    assert "train_dpo_3" in rows


def test_every_group_of_the_interface_is_there() -> None:
    wanted = "task setting model supervisor pipeline ablation data algorithm hardware evaluation tracking"
    assert sorted([*wanted.split(), "experiment", "scale"]) == GROUPS


@pytest.mark.parametrize("algorithm", ["sft", "offline_dpo", "online_dpo"])
@pytest.mark.parametrize("model", MODELS)
def test_paper_runs_have_the_papers_training_settings(model: str, algorithm: str) -> None:
    config = load([*PAPER, f"model={model}", f"algorithm={algorithm}", f"hardware={MODELS[model]}"])
    sft = config.algorithm.sft
    assert (sft.learning_rate, sft.schedule, sft.warmup_steps, sft.epochs) == (7e-6, Schedule.linear, 20, 3)
    assert (sft.weight_decay, sft.adam_beta1, sft.adam_beta2, sft.max_length) == (0.1, 0.9, 0.95, 8192)
    assert sft.global_batch_size == (512 if config.hardware.nodes == 8 else 128)
    assert config.hardware.strategy is Strategy.zero3
    assert config.hardware.precision is Precision.bf16
    assert config.hardware.devices * config.hardware.nodes == (64 if "h800" in config.hardware.name else 8)
    if algorithm == "sft":
        assert not hasattr(config.algorithm, "dpo")
        return
    dpo = config.algorithm.dpo  # type: ignore[attr-defined]
    assert (dpo.learning_rate, dpo.schedule, dpo.warmup_steps, dpo.warmup_ratio) == (5e-7, Schedule.cosine, None, 0.1)
    assert (dpo.global_batch_size, dpo.epochs, dpo.beta, dpo.max_length, dpo.save_every) == (64, 2, 0.3, 4096, 200)
    if algorithm == "online_dpo":
        assert config.algorithm.temperature == 0.8  # type: ignore[attr-defined]
        assert config.algorithm.reference is Reference.sft  # type: ignore[attr-defined]


def test_paper_pipeline_has_the_papers_thresholds() -> None:
    pipeline = load(["pipeline=paper"]).pipeline
    assert pipeline.self_instruct.rewrites_per_seed == 100
    assert pipeline.self_instruct.limit is None
    assert pipeline.cross_verify.case_threshold == pipeline.cross_verify.function_threshold == 0.5
    assert pipeline.nli.judge.value == "mdeberta"
    assert pipeline.nli.drop == ["contradiction"]
    assert pipeline.queries.source.value == "sharegpt"
    assert pipeline.queries.per_instruction == 16
    assert pipeline.respond.samples == 8
    assert pipeline.verify_responses.threshold == 0.5
    assert pipeline.score.threshold == 8.0
    assert pipeline.preference.chosen_threshold == 0.5
    assert pipeline.preference.instruction_level


def test_moving_a_data_file_changes_nothing_and_changing_it_does(tmp_path: Path, recording: Path) -> None:
    config = load([f"supervisor.path={recording}"])

    def fingerprints(seeds: Path) -> list[str]:
        config.pipeline.self_instruct.seeds = str(seeds)
        return [stage.entry(Store(tmp_path)).fingerprint for stage in build(config)]

    here, there = tmp_path / "here.txt", tmp_path / "there.txt"
    for file in (here, there):
        file.write_text("Answer in lower case.\n")
    assert fingerprints(here) == fingerprints(there)
    there.write_text("Answer in upper case.\n")
    assert fingerprints(here)[0] != fingerprints(there)[0]


def test_the_default_runs_anywhere() -> None:
    config = load()
    assert (config.model.name, config.hardware.name, config.pipeline.name) == ("smollm2_135m", "cpu", "demo")
    assert isinstance(config.supervisor, schemas.RecordedSupervisor)
    assert config.name == "demo"


def test_environment_sets_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOIF_CACHE", "~/elsewhere")
    monkeypatch.setenv("AUTOIF_DATA_DIR", "/data")
    config = load()
    assert config.paths.cache == str(Path.home() / "elsewhere")
    assert config.evaluation.data_dir == "/data"
    monkeypatch.delenv("AUTOIF_DATA_DIR")
    assert load().evaluation.data_dir is None


def test_the_written_configuration_is_whole_and_resolved() -> None:
    text = dump(load(["model=qwen2_7b", "algorithm=sft"]))
    assert "global_batch_size: 128" in text
    assert "${" not in text
    assert "???" not in text


IN_YAML = {"ModelConfig.sft_global_batch_size": "algorithm/training/sft_paper.yaml"}
"""Fields that only an interpolation reads, and where."""


def test_every_field_is_read_outside_its_declaration() -> None:
    files = [ROOT / "run.py", *(ROOT / "autoif").rglob("*.py"), *(ROOT / "evaluation").rglob("*.py")]
    declarations = {*(ROOT / "autoif/config").glob("*.py"), ROOT / "autoif/execution/api.py"}
    read = {
        node.attr
        for file in files
        if file not in declarations
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    fields = {
        f"{kind.__name__}.{field.name}"
        for kind in vars(schemas).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind)
        for field in dataclasses.fields(kind)
    }
    assert len(fields) > 100
    unread = {name for name in fields if name.partition(".")[2] not in read}
    assert unread == set(IN_YAML)
    for name, file in IN_YAML.items():
        assert f"${{model.{name.partition('.')[2]}}}" in (CONF / file).read_text()


def test_the_documentation_names_every_group_and_option() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    for group in GROUPS:
        row = next(line for line in text.splitlines() if line.startswith(f"| `{group}` |"))
        for option in (CONF / group).glob("*.yaml"):
            assert f"`{option.stem.removesuffix('_demo')}`" in row
