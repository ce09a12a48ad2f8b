"""``run.py`` end to end in processes of its own: a sweep over algorithms, on a scripted supervisor and a tiny model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from teacher import SEEDS, Teacher
from training_tiny import tiny_model

ROOT = Path(__file__).parents[2]
SMALL = [
    "evaluation=quick",
    "evaluation.heldout.limit=4",
    "evaluation.heldout.max_tokens=4",
    "model.name=tiny",
    "model.package=null",
    "model.gguf_file=null",
    "model.context_length=512",
    "pipeline.self_instruct.rewrites_per_seed=1",
    "pipeline.self_instruct.per_call=1",
    "pipeline.write_verifiers.samples=3",
    "pipeline.queries.per_instruction=1",
    "pipeline.respond.samples=3",
    "execution.workers=1",
    "hardware.threads=1",
]
LINE = re.compile(r"^(\w+) +[\d,]+ kept.*?, (found in the store|[\d.]+ s)$", re.MULTILINE)
"""A stage's line: its title, and whether it was computed."""


class Swept(NamedTuple):
    folder: Path
    arguments: list[str]
    calls: int
    out: str


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AUTOIF_")}
    line = [sys.executable, str(ROOT / "run.py"), *arguments]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)


def stages(out: str) -> dict[str, bool]:
    """Title → whether it was found in the store, of one point's output."""
    return {title: how == "found in the store" for title, how in LINE.findall(out)}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swept]:
    folder, teacher = tmp_path_factory.mktemp("sweep"), Teacher(delay=0)
    (folder / "seeds.txt").write_text("\n".join(SEEDS))
    tiny_model(folder / "model")
    arguments = [
        *SMALL,
        "name=smoke",
        "supervisor=openai",
        "supervisor.model=teacher",
        f"supervisor.base_url={teacher.url}",
        "model.path=./model",
        "pipeline.self_instruct.seeds=seeds.txt",
        "paths.cache=cache",
    ]
    ran = command(folder, "-m", "algorithm=sft_demo,offline_dpo_demo", *arguments)
    assert ran.returncode == 0, ran.stderr
    calls = teacher.received.total()
    yield Swept(folder, arguments, calls, ran.stdout)
    teacher.close()
    assert teacher.received.total() == calls


def test_points_share_all_stages_that_they_have_in_common(swept: Swept) -> None:
    _, first, second = swept.out.split("\n── ")
    sft, offline = stages(first), stages(second)
    assert not any(sft.values())
    assert sft.keys() >= {"self_instruct", "score", "sft_dataset", "train_sft", "answer_heldout_sft", "results"}
    assert all(offline[title] for title in sft if title not in ("results", "comparisons"))
    assert not offline["train_dpo"]


def test_every_point_leaves_its_report_and_configuration(swept: Swept) -> None:
    for algorithm in ("sft_demo", "offline_dpo_demo"):
        folder = swept.folder / f"runs/smoke/algorithm={algorithm}"
        assert f"name: {algorithm}" in (folder / "config.yaml").read_text()
        assert "tiny, SFT" in (folder / "report.md").read_text()
        assert (folder / "report.html").stat().st_size > 10_000
    assert sorted(path.name for path in swept.folder.iterdir()) == ["cache", "model", "runs", "seeds.txt", "store"]


def test_the_same_sweep_again_finds_everything(swept: Swept) -> None:
    again = command(swept.folder, "-m", "algorithm=sft_demo,offline_dpo_demo", *swept.arguments)
    assert again.returncode == 0
    assert all(all(stages(point).values()) for point in again.stdout.split("\n── ")[1:])


def test_a_plan_after_a_changed_threshold_names_it_for_what_is_behind_it(swept: Swept) -> None:
    changed = ["algorithm=sft_demo", "pipeline.verify_responses.threshold=0.9", "task=plan"]
    ran = command(swept.folder, *swept.arguments, *changed)
    assert ran.returncode == 0
    states = dict(re.findall(r"^(\w+) +(done|to run)", ran.stdout, re.MULTILINE))
    assert {title for title, state in states.items() if state == "done"} >= {"self_instruct", "respond", "queries"}
    assert {"verify_responses", "score", "train_sft", "results"} <= {
        t for t, state in states.items() if state == "to run"
    }
    assert "verify_responses.threshold 0.5 → 0.9" in ran.stdout
