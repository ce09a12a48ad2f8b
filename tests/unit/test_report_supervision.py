"""The report's supervision section: the supervisor's tokens for what came of them, and what the cache spared."""

from __future__ import annotations

from typing import Any

from autoif.config import PipelineConfig, RespondConfig, RunConfig, SamplingMode
from autoif.report.collect import Report, StageView
from autoif.report.section_supervision import notes, rows, supervision
from autoif.store import Manifest


def stage(name: str, kept: int, supervised: bool, **calls: float) -> StageView:
    key: dict[str, Any] = {"engines": {"supervisor": "m"} if supervised else {}}
    facts: dict[str, Any] = {"calls": calls} if calls else {}
    manifest = Manifest(
        stage=name, fingerprint="f", key=key, inputs=0, kept=kept, rejected={}, records_bytes=0, sha256="", seconds=1.0
    )
    manifest.facts = facts
    return StageView(name, name, "f", (), manifest)


def report(sampling: SamplingMode = SamplingMode.fixed) -> Report:
    stages = [
        stage("write_verifiers", 5, True, asked=10, used_in=900, used_out=100),
        stage("respond", 5, True, asked=6, cached=14, used_in=1500, used_out=500, cache_bytes=2**20),
        stage("score", 5, True, replayed=4, used_in=400, used_out=100),
        stage("sft_dataset", 5, False),
        stage("sample_1", 5, False, asked=100, used_in=10_000, used_out=10_000),
        stage("online_pairs", 10, False),
    ]
    return Report(RunConfig(pipeline=PipelineConfig(sampling=sampling, respond=RespondConfig(samples=4))), stages)


def test_tokens_are_shared_out_over_samples_and_pairs_by_level() -> None:
    assert rows(report()) == [
        ["instruction level", "10", "900", "100", "200", "100"],
        ["query level", "24", "1,900", "600", "500", "250"],
        ["both", "34", "2,800", "700", "700", "350"],
    ], "the policy's own answers are not supervision"


def test_sampling_cache_size_and_hit_rate_are_said() -> None:
    fixed, cache = notes(report())
    assert fixed == "Sampling: fixed, 4 answers a prompt."
    assert notes(report(SamplingMode.adaptive))[0] == "Sampling: adaptive, up to 4 answers a prompt."
    assert cache == "Call cache: 14 of 130 answers came from it (10.8%); the cache took 1.0 MB by then."
    assert all(text in supervision(report()) for text in ("Supervision", "1,900", "10.8%"))


def test_a_run_without_supervision_has_no_such_section() -> None:
    empty = Report(RunConfig(), [stage("sft_dataset", 5, False)])
    assert (rows(empty), notes(empty), supervision(empty)) == ([], [], "")
