"""A sweep's points: expanded and named as typed, checked before anything starts, run whatever fails beside them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from autoif import border, sweep, tasks
from autoif.border import compose_any
from autoif.config import RunConfig, Task
from autoif.errors import ConfigError, DataError

EXPERIMENT = """\
# @package _global_
defaults:
  - override /algorithm: sft_demo

name: figure4
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      pipeline.verify_responses.threshold: 0.2,0.8
      model: smollm2_135m,qwen2_7b
"""


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of ``conf/`` with an experiment that is a sweep."""
    shutil.copytree(border.CONF, tmp_path / "conf")
    (tmp_path / "conf/experiment/figure4.yaml").write_text(EXPERIMENT)
    monkeypatch.setattr(border, "CONF", tmp_path / "conf")
    GlobalHydra.instance().clear()
    yield tmp_path / "conf"
    GlobalHydra.instance().clear()


def expand(*overrides: str, multirun: bool = True) -> list[sweep.Point]:
    cfg, is_sweep = compose_any(overrides, multirun=multirun)
    assert is_sweep
    return sweep.points(cfg)


def test_points_are_the_product_of_what_is_swept() -> None:
    points = expand("seed=1,2", "algorithm=sft_demo,online_dpo_demo", "hardware.threads=2")
    made = [(point.config.seed, point.config.algorithm.name, point.config.hardware.threads) for point in points]
    assert made == [(1, "sft_demo", 2), (1, "online_dpo_demo", 2), (2, "sft_demo", 2), (2, "online_dpo_demo", 2)]
    assert [point.config.name for point in points][1] == "demo/seed=1,algorithm=online_dpo_demo"


def test_ranges_are_expanded_and_a_swept_name_is_kept() -> None:
    assert [point.config.seed for point in expand("seed=range(0,3)")] == [0, 1, 2]
    assert [point.config.name for point in expand("name=a,b")] == ["a", "b"]


def test_a_multirun_of_one_point_keeps_its_name() -> None:
    (point,) = expand("seed=3")
    assert (point.config.name, point.config.seed) == ("demo", 3)


def test_long_and_odd_values_make_short_and_plain_folder_names() -> None:
    first, second = expand(f"model.path='{'x' * 200}/a b','{'x' * 200}/c d'")
    assert first.config.name != second.config.name
    assert all(len(point.config.name) < 130 and " " not in point.config.name for point in (first, second))


def test_an_experiment_can_be_a_sweep_by_itself(conf: Path) -> None:
    points = expand("experiment=figure4", multirun=False)
    assert [(p.config.pipeline.verify_responses.threshold, p.config.model.name) for p in points] == [
        (0.2, "smollm2_135m"),
        (0.2, "qwen2_7b"),
        (0.8, "smollm2_135m"),
        (0.8, "qwen2_7b"),
    ]
    assert all(point.config.name.startswith("figure4/pipeline.verify_responses.threshold=") for point in points)
    assert all(point.config.algorithm.name == "sft_demo" for point in points)


def test_the_command_line_wins_over_an_experiments_sweep(conf: Path) -> None:
    points = expand("experiment=figure4", "model=qwen2_7b", "seed=1,2", multirun=False)
    assert [(p.config.model.name, p.config.seed) for p in points] == [("qwen2_7b", 1), ("qwen2_7b", 2)] * 2


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["algorithm.dpo.beta=0.1,-1"],
            r"sweep point algorithm\.dpo\.beta=-1: .* must be above 0; nothing was started",
        ),
        (["model=qwen2_7b,qwen2_8b"], r"sweep point model=qwen2_8b: no option 'qwen2_8b'"),
        (["+algorithm.betta=1,2"], r"did you mean algorithm\.dpo\.beta\?; nothing was started"),
        (["seed=1,two"], r"sweep point seed=two: seed: Value 'two'"),
        (["algorithm.dpo.beta=interval(0,1)"], "is no list of values"),
    ],
)
def test_a_wrong_point_is_named_before_anything_starts(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        expand(*overrides)


def test_failures_of_points_are_gathered_and_bugs_among_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []

    def dispatch(config: RunConfig) -> None:
        seen.append(config.seed)
        assert config.task.kind is Task.plan
        if config.seed == 1:
            raise DataError("no queries")
        if config.seed == 2:
            raise KeyError("bug")

    monkeypatch.setattr(tasks, "dispatch", dispatch)
    cfg, _ = compose_any(["task=plan", "seed=1,2,3"], multirun=True)
    assert sweep.run(cfg) == 1
    assert seen == [1, 2, 3]
    printed = capsys.readouterr()
    assert "1 of 3 points finished" in printed.out
    assert printed.err.count("Traceback") == 1
    assert printed.err.splitlines()[-2:] == [
        "autoif: demo/seed=1 failed: no queries",
        "autoif: demo/seed=2 failed: KeyError: 'bug'",
    ]
