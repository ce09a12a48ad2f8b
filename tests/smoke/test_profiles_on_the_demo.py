"""The three profiles on the demo's recording: without a call, side by side, and as docs/decisions.md says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import run
from autoif.border import load
from autoif.pipeline import build
from autoif.records import SftExample, Verifier
from autoif.store import Store

ROOT = Path(__file__).parents[2]
POINTS = {
    "paper": ["pipeline=demo", "pipeline.nli.scope=instruction"],
    "upstream": ["pipeline=demo_upstream"],
    "best": ["pipeline=demo_best"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where ``experiment=profiles`` was run."""
    folder = tmp_path_factory.mktemp("profiles")
    assert run.main(["experiment=profiles", f"paths.store={folder}/store", f"paths.runs={folder}/runs"]) == 0
    return folder


def documented(row: str) -> list[int]:
    """The first numbers of a row of the documented table, one a profile."""
    text = (ROOT / "docs/decisions.md").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith(f"| {row} |"))
    return [int(re.match(r"\d+", cell.strip())[0]) for cell in line.strip("|").split("|")[1:]]  # type: ignore[index]


def test_what_the_documentation_says_was_kept_is_kept(folder: Path) -> None:
    found: dict[str, list[int]] = {"instructions kept": [], "functions kept": [], "SFT samples": []}
    for settings in POINTS.values():
        config = load([*settings, "algorithm=none", "evaluation=none", f"paths.store={folder}/store"])
        store = Store(Path(config.paths.store))
        stages = [stage for stage in build(config) if stage.entry(store).done]
        assert stages[-1].name == "preference_dataset"
        last = [stage for stage in stages if stage.record is Verifier][-1]
        rows = list(last.entry(store).records(Verifier))
        samples = next(stage for stage in stages if stage.record is SftExample)
        found["instructions kept"].append(len(rows))
        found["functions kept"].append(sum(len(row.functions) for row in rows))
        found["SFT samples"].append(sum(1 for _ in samples.entry(store).records(SftExample)))
    assert found == {row: documented(row) for row in found}


def test_reports_show_the_funnels_side_by_side(folder: Path) -> None:
    index = (folder / "runs/index.html").read_text(encoding="utf-8")
    assert "Funnels side by side" in index
    last = (folder / "runs/profiles/best/report.html").read_text(encoding="utf-8")
    section = last[last.index('<section id="profiles">') :]
    heads = re.findall(r"<th[^>]*>(.*?)</th>", section)[2:5]
    assert heads == list(POINTS)
    for reason in ("function accepts no case", "function is constant", "function disagrees", "case contradicts itself"):
        assert f">{reason}<" in section


def test_runs_of_another_seed_learn_from_the_same_recording(tmp_path: Path) -> None:
    told = [
        "seed=1",
        "algorithm=none",
        "evaluation=none",
        f"paths.store={tmp_path}/store",
        f"paths.runs={tmp_path}/runs",
    ]
    assert run.main(told) == 0
    assert run.main([*told[1:], "seed=0"]) == 0
    assert len(list(tmp_path.glob("store/sft_dataset/*"))) == 1  # found, not made again
