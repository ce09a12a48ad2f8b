"""Each profile from seeds to training sets, with a live supervisor: every stage keeps something and drops something."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from teacher import SEEDS, Teacher

import run
from autoif.border import load
from autoif.pipeline import build
from autoif.records import SftExample
from autoif.store import Manifest, Store


@pytest.fixture(scope="module")
def teacher() -> Iterator[Teacher]:
    running = Teacher(delay=0.0)
    yield running
    running.close()


def made(folder: Path, teacher: Teacher, *settings: str) -> tuple[dict[str, Manifest], list[SftExample]]:
    """The manifests of a run by the titles of its stages, and its SFT samples."""
    seeds = folder / "seeds.txt"
    seeds.write_text("\n".join(SEEDS))
    overrides = [
        *("supervisor=openai", "supervisor.model=teacher", f"supervisor.base_url={teacher.url}"),
        *("algorithm=none", "evaluation=none", "pipeline.nli.judge=supervisor", "pipeline.queries.source=shipped"),
        *("pipeline.queries.heldout=0", "pipeline.queries.per_instruction=3", "pipeline.respond.samples=4"),
        *(f"pipeline.self_instruct.seeds={seeds}", "pipeline.self_instruct.rewrites_per_seed=1"),
        *(f"paths.{name}={folder}/{name}" for name in ("store", "runs", "cache")),
        *settings,
    ]
    assert run.main(overrides) == 0
    store, found, samples = Store(folder / "store"), {}, []
    for stage in build(load(overrides)):
        manifest = stage.entry(store).manifest()
        assert manifest is not None
        found[stage.title] = manifest
        if stage.record is SftExample:
            samples = list(stage.entry(store).records(SftExample))
    return found, samples


def test_upstream_reads_functions_back_together_and_scores_from_zero(tmp_path: Path, teacher: Teacher) -> None:
    # The teacher knows two functions and four cases for an instruction.
    least = ("pipeline.cross_verify.min_functions_written=2", "pipeline.cross_verify.min_cases_written=3")
    found, samples = made(tmp_path, teacher, "pipeline=upstream", *least)
    asked = {prompt.partition(" ")[0] for prompt, _ in teacher.received}
    assert {"Each", "Judge"} <= asked
    assert all(manifest.kept for manifest in found.values())
    assert samples[0].messages[0].content.rstrip(".").endswith("times")
    assert samples[0].constraints == 1


def test_best_composes_what_its_checks_have_left(tmp_path: Path, teacher: Teacher) -> None:
    settings = ("pipeline.compose.constraints=2", "pipeline.compose.each_level=true", "pipeline.sampling=adaptive")
    found, samples = made(tmp_path, teacher, "pipeline=best", *settings, "pipeline.sft_dataset.per_prompt=2")
    assert all(manifest.kept for manifest in found.values())
    assert found["compose"].facts["levels"].keys() == {"1", "2"}
    by_level = {level: [s for s in samples if s.constraints == level] for level in (1, 2)}
    assert by_level[1]
    assert by_level[2]
    for sample in by_level[2]:
        assert sample.messages[0].content.count("at least") == 2
        assert sample.accuracy == 1.0
    assert found["narrow_answers"].kept <= found["respond"].kept
