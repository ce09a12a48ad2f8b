"""A mistyped command line is answered in one line that says what to type; so is a contradictory configuration."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from autoif import border
from autoif.border import compose, convert, load
from autoif.errors import ConfigError


@pytest.fixture(scope="module")
def demo() -> DictConfig:
    """The demo as Hydra composes it."""
    return compose([])


UNKNOWN = [
    ("algorithm.betta=1", "unknown key 'algorithm.betta'; did you mean algorithm.dpo.beta?"),
    ("+algorithm.betta=1", "unknown key 'algorithm.betta'; did you mean algorithm.dpo.beta?"),
    ("++algorithm.betta=1", "unknown key 'algorithm.betta'; did you mean algorithm.dpo.beta?"),
    ("++algorithm.dpo.betta=1", "did you mean algorithm.dpo.beta?"),
    ("algorithm.doo.beta=1", "did you mean algorithm.dpo.beta?"),
    ("learning_rat=1", "algorithm.dpo.learning_rate or algorithm.sft.learning_rate"),
    ("pipeline.cross_verify.function_treshold=1", "did you mean pipeline.cross_verify.function_threshold?"),
    ("modle=qwen2_7b", "did you mean model?"),
    ("+nothing.like.it=1", "unknown key 'nothing': there are name, seed, task"),
    ("hydra/launcher=jobblib", "no launcher 'jobblib' here: basic is always there; joblib, submitit_local"),
    ("hardware.zzz=1", "'hardware' has name, accelerator, devices"),
    ("model=qwen2_8b", "no option 'qwen2_8b' in group 'model'; did you mean qwen2_7b?"),
    ("experiment=smoek", "did you mean smoke?"),
]

WRONG = [
    ("algorithm.iterations=many", "algorithm.iterations: Value 'many'"),
    ("seed=", "seed: Value ''"),
    ("hardware.precision=fp23", "hardware.precision: Invalid value 'fp23', expected one of [fp32, bf16]"),
    ("pipeline.nli.drop=contradiction", "pipeline.nli.drop: "),
    ("algorithm=sft,online_dpo", "add -m to sweep"),
    ("algorithm.dpo=[", "cannot read 'algorithm.dpo=['"),
    ("~algorithm.samples", "algorithm.samples: "),
    ("model=null", "must be a string"),
]

CONTRADICTIONS = [
    ("setting.kind=self_alignment", "add supervisor=self"),
    ("algorithm.sft.global_batch_size=6", "algorithm.sft.global_batch_size=6 is not a multiple of 4"),
    ("algorithm.dpo.global_batch_size=10", "algorithm.dpo.global_batch_size=10 is not a multiple of 4"),
    ("hardware.nodes=3 hardware.strategy=ddp", "micro_batch_size 4 × devices 1 × nodes 3"),
    ("pipeline.verify_responses.threshold=1.5", "pipeline.verify_responses.threshold=1.5 must be from 0 to 1"),
    ("pipeline.score.threshold=0.5", "pipeline.score.threshold=0.5 must be from 1 to 10"),
    ("algorithm.dpo.beta=0", "algorithm.dpo.beta=0.0 must be above 0"),
    ("pipeline.respond.top_p=0", "pipeline.respond.top_p=0.0 must be above 0 up to 1"),
    ("algorithm.samples=0", "algorithm.samples=0 must be at least 1"),
    ("hardware.devices=2", "hardware.strategy=single uses one device, not 2"),
    ("hardware.offload_optimizer=true hardware.strategy=zero3", "hardware.offload_optimizer moves states from a GPU"),
    ("hardware.offload_optimizer=true", "hardware.offload_optimizer needs"),
    ("hardware.techniques.liger=true", "hardware.techniques.liger=true needs hardware.accelerator=gpu"),
    ("hardware.strategy=zero3 hardware.devices=2 hardware.techniques.compile=true", "turn one off"),
    ("hardware.attention=flash_attention_2", "needs hardware.accelerator=gpu and hardware.precision=bf16"),
    ("hardware.attention=flash", "expected one of eager, flash_attention_2, sdpa"),
    ("algorithm.dpo.max_length=9000", "algorithm.dpo.max_length=9000 exceeds model.context_length=8192"),
    ("algorithm.max_tokens=9000", "algorithm.max_tokens=9000 exceeds"),
    ("evaluation.ifeval.max_tokens=9000", "evaluation.ifeval.max_tokens=9000 exceeds"),
    ("evaluation.mmlu.limit=-1", "evaluation.mmlu.limit=-1 must be at least 0"),
    ("evaluation.seeds=0", "evaluation.seeds=0 must be at least 1"),
    ("evaluation.responses=x", "score existing files: add task=evaluate"),
    ("pipeline.cross_verify.min_functions=99", "can never be met with pipeline.write_verifiers.samples="),
    ("pipeline.nli.drop=[contradicts]", "no label contradicts"),
    ("pipeline.queries.min_chars=400", "must be below max_chars=300"),
    ("pipeline.queries.path=x.json", "add pipeline.queries.source=sharegpt"),
    ("pipeline.queries.heldout=0", "evaluation.heldout needs queries set aside"),
    ("tracking.mode=maybe", "tracking.mode='maybe'"),
    ("name=../elsewhere", "name='../elsewhere'"),
    ("name=/tmp/x", "name='/tmp/x'"),
    ("model.path=???", "model.path is not set: add model.path=…"),
]


def assert_one_line(message: str, words: str) -> None:
    assert words in message
    assert "\n" not in message
    assert len(message) < 300


@pytest.mark.parametrize(("argument", "words"), UNKNOWN + WRONG, ids=lambda value: value[:50])
def test_a_mistyped_argument_is_answered_in_one_line(argument: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([argument])
    assert_one_line(str(caught.value), words)


@pytest.mark.parametrize(("values", "words"), CONTRADICTIONS, ids=lambda value: value[:50])
def test_a_contradiction_is_answered_in_one_line(demo: DictConfig, values: str, words: str) -> None:
    cfg = demo.copy()
    for assignment in values.split(" "):
        key, _, value = assignment.partition("=")
        OmegaConf.update(cfg, key, yaml.safe_load(value))
    with pytest.raises(ConfigError) as caught:
        convert(cfg)
    assert_one_line(str(caught.value), words)


def test_several_contradictions_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"uses one device, not 2.*not a multiple of 8"):
        load(["hardware.devices=2", "algorithm.sft.global_batch_size=12"])


def test_suggestions_follow_the_chosen_options() -> None:
    with pytest.raises(ConfigError, match="'algorithm' has name, sft"):
        load(["algorithm=sft", "algorithm.betta=1"])


def test_an_alignment_server_of_the_same_model_is_accepted() -> None:
    config = load(["setting=self_alignment", "model=qwen2_72b", "supervisor=qwen2_72b", "algorithm=online_dpo"])
    assert config.supervisor.model == config.model.path


def test_the_model_as_its_own_supervisor_has_all_of_its_fields() -> None:
    config = load(["setting=self_alignment", "supervisor=self", "model.revision=abc"])
    assert config.supervisor.source == config.model  # type: ignore[attr-defined]


def test_a_benchmark_that_is_turned_off_contradicts_nothing(demo: DictConfig) -> None:
    cfg = demo.copy()
    OmegaConf.update(cfg, "evaluation.ifeval", {"limit": 0, "max_tokens": 9000})
    assert convert(cfg).evaluation.ifeval.limit == 0


def test_no_room_for_an_answer_is_noticed() -> None:
    with pytest.raises(ConfigError, match=r"leaves no room in supervisor\.source\.context_length=8192"):
        load(["supervisor=self", "pipeline.respond.max_tokens=8192"])


def test_a_mistake_in_a_file_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(border.CONF, tmp_path / "conf")
    option = tmp_path / "conf/hardware/cpu.yaml"
    option.write_text(option.read_text().replace("precision:", "precisoin:"))
    monkeypatch.setattr(border, "CONF", tmp_path / "conf")
    GlobalHydra.instance().clear()
    try:
        with pytest.raises(ConfigError) as caught:
            load([])
    finally:
        GlobalHydra.instance().clear()
    words = "conf/hardware/cpu.yaml: unknown key 'hardware.precisoin'; did you mean hardware.precision?"
    assert_one_line(str(caught.value), words)


def test_a_setting_of_an_engine_that_is_not_chosen_says_how_to_choose_one() -> None:
    with pytest.raises(ConfigError) as caught:
        load(["evaluation.judge.model=x"])
    words = "evaluation.judge.model belongs to an engine that is not chosen: add supervisor@evaluation.judge=openai"
    assert_one_line(str(caught.value), words)
