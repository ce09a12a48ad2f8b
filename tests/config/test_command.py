"""``run.py`` as a user meets it: fast to start, one line and an exit code for a mistake, sweeps that go on."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import run
from autoif import border
from autoif.border import CONF

HEAVY = {"torch", "transformers", "lightning", "datasets", "deepspeed", "lm_eval", "openai", "wandb", "numpy", "pandas"}


class Ran(NamedTuple):
    """A finished command. ``seconds``: processor time, which a busy machine does not stretch."""

    code: int
    out: str
    err: str
    seconds: float


def command(folder: Path, *arguments: str, flags: tuple[str, ...] = ()) -> Ran:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AUTOIF_")} | {"OPENAI_API_KEY": ""}
    done = subprocess.run(
        [sys.executable, *flags, str(CONF.parent / "run.py"), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Ran(done.returncode, done.stdout, done.stderr, seconds)


def imported(importtime: str) -> set[str]:
    """Top-level packages in the output of ``-X importtime``."""
    return {match[1] for match in re.finditer(r"^import time:.*\| +(\w+)[\w.]*$", importtime, re.MULTILINE)}


def test_help_lists_every_option_within_a_second_and_imports_next_to_nothing(tmp_path: Path) -> None:
    ran = command(tmp_path, "--help", flags=("-X", "importtime"))
    assert ran.code == 0
    words = set(re.findall(r"\w[\w.]*", ran.out))
    assert {path.stem for path in CONF.glob("*/*.yaml")} <= words
    assert ran.seconds < 1.0
    assert not imported(ran.err) & (HEAVY | {"hydra", "omegaconf", "msgspec"})


def test_plan_takes_less_than_two_seconds_and_leaves_nothing_behind(tmp_path: Path, recording: Path) -> None:
    ran = command(tmp_path, "task=plan", f"supervisor.path={recording}", flags=("-X", "importtime"))
    assert ran.code == 0
    assert "train_sft" in ran.out
    assert ran.seconds < 2.0
    assert not imported(ran.err) & HEAVY
    assert not list(tmp_path.iterdir())


def test_plan_of_the_largest_run_says_what_it_still_needs(tmp_path: Path) -> None:
    paper = ["pipeline=paper", "algorithm=online_dpo", "evaluation=paper", "supervisor=gpt_4"]
    ran = command(tmp_path, "task=plan", "model=qwen2_72b", "hardware=h800x64", *paper)
    assert ran.code == 0
    needed = ran.out.partition("Needed before it can run:")[2]
    assert "pipeline.queries.path is not set" in needed
    assert "OPENAI_API_KEY" in needed


@pytest.mark.parametrize("prefix", ["", "+", "++"])
def test_an_unknown_key_fails_with_one_line(tmp_path: Path, prefix: str) -> None:
    ran = command(tmp_path, f"{prefix}algorithm.betta=1")
    assert ran.code == 1
    assert ran.out == ""
    assert ran.err == "autoif: unknown key 'algorithm.betta'; did you mean algorithm.dpo.beta?\n"


def test_every_setting_can_be_shown(tmp_path: Path) -> None:
    ran = command(tmp_path, "--cfg", "job", "--resolve", "algorithm=sft", "model=qwen2_72b")
    assert ran.code == 0
    assert "global_batch_size: 512" in ran.out
    assert command(tmp_path, "--cfg", "job", "+algorithm.betta=1").code == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["supervisor=gpt_4"], "OPENAI_API_KEY holds no key"),
        (["pipeline.queries.source=sharegpt"], "pipeline.queries.path is not set"),
        (["pipeline.self_instruct.seeds=none.txt"], "seed file none.txt is missing"),
        (["model.path=./none"], "set model.path to a local folder"),
        (["paths.store=/proc/none"], "cannot write to the store /proc/none"),
        (["paths.runs=/proc/none"], "cannot write to /proc/none/demo"),
        ([], "holds no answer for request"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_a_run_that_cannot_go_on_says_why_in_one_line(
    tmp_path: Path, recording: Path, arguments: list[str], words: str
) -> None:
    source = [] if "supervisor=gpt_4" in arguments else [f"supervisor.path={recording}"]
    ran = command(tmp_path, *source, *arguments)
    assert ran.code == 1
    assert words in ran.err
    assert ran.err.count("\n") == 1


def test_a_started_run_leaves_its_resolved_configuration(tmp_path: Path, recording: Path) -> None:
    command(tmp_path, f"supervisor.path={recording}", "name=mine", "seed=7")
    written = (tmp_path / "runs/mine/config.yaml").read_text()
    assert "seed: 7" in written
    assert f"path: {recording}" in written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "store"]


def test_no_point_of_a_sweep_starts_when_one_is_wrong(tmp_path: Path, recording: Path) -> None:
    ran = command(tmp_path, "-m", f"supervisor.path={recording}", "seed=1,2", "algorithm.dpo.beta=0.1,-1")
    assert ran.code == 1
    assert ran.out == ""
    assert ran.err == (
        "autoif: sweep point seed=1,algorithm.dpo.beta=-1: algorithm.dpo.beta=-1.0 must be above 0; "
        "nothing was started\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_failed_point_does_not_stop_the_others(tmp_path: Path, recording: Path) -> None:
    ran = command(tmp_path, "--multirun", "task=plan", f"supervisor.path={tmp_path}/none.jsonl,{recording}", "seed=3")
    assert ran.code == 1
    assert ran.out.count("Plan of demo/supervisor.path=") == 1
    assert "1 of 2 points finished" in ran.out
    assert re.search(r"demo/supervisor\.path=\S*none\.jsonl failed: no recording at", ran.err)


def test_points_are_named_after_what_is_swept(tmp_path: Path, recording: Path) -> None:
    swept = ["pipeline.verify_responses.threshold=0.2,0.8", "name=figure", "seed=3"]
    ran = command(tmp_path, "-m", "task=plan", f"supervisor.path={recording}", *swept)
    assert ran.code == 0
    assert re.findall(r"^── (.*)$", ran.out, re.MULTILINE) == [
        "figure/pipeline.verify_responses.threshold=0.2",
        "figure/pipeline.verify_responses.threshold=0.8",
    ]


def test_points_run_in_processes_where_a_launcher_is_asked_for(tmp_path: Path, recording: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    ran = command(tmp_path, "-m", *launcher, "task=plan", f"supervisor.path={recording},{tmp_path}/none.jsonl")
    assert ran.code == 1
    assert "1 of 2 points finished" in ran.out
    assert not list(tmp_path.iterdir())


def test_several_values_without_m_are_explained(tmp_path: Path) -> None:
    ran = command(tmp_path, "seed=1,2")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "add -m to sweep over them" in ran.err


def test_stopping_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(border, "compose_any", stop)
    assert run.main([]) == 130
    assert capsys.readouterr().err == "autoif: stopped; run the same command again to go on\n"


def test_a_reader_that_stops_early_is_no_error(tmp_path: Path, recording: Path) -> None:
    line = f"{sys.executable} {CONF.parent / 'run.py'} task=plan supervisor.path={recording} | head -n 1"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("Plan of demo")
    assert done.stderr == ""
