"""Table 3's ablations take a check out of any profile, and leave everything else as it is."""

from __future__ import annotations

import pytest

from autoif.border import dump, load
from autoif.pipeline import build

OUT = {
    "none": set(),
    "without_back_translation": {"back_translate", "nli_filter"},
    "without_quality_verification": {"score"},
    "without_cross_verification": {"cross_verify"},
}
OUT["without_any_quality_process"] = set().union(*OUT.values()) | {
    *("mutation_check", "check_functions", "observe_responses", "narrow_answers", "attach_queries_checked"),
}
SETTINGS = ["supervisor=openai", "supervisor.model=teacher", "algorithm=none", "evaluation=none"]


def titles(*settings: str) -> list[str]:
    return [stage.title for stage in build(load([*SETTINGS, *settings]))]


@pytest.mark.parametrize("profile", ["paper", "upstream", "best"])
@pytest.mark.parametrize("ablation", OUT)
def test_an_ablation_leaves_out_its_stages_and_no_others(profile: str, ablation: str) -> None:
    whole = titles(f"pipeline={profile}")
    assert titles(f"pipeline={profile}", f"ablation={ablation}") == [t for t in whole if t not in OUT[ablation]]


@pytest.mark.parametrize("ablation", OUT)
def test_an_ablation_changes_switches_alone(ablation: str) -> None:
    before, after = (
        dump(load([*SETTINGS, "pipeline=best", f"ablation={choice}"])).splitlines() for choice in ("none", ablation)
    )
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {(old.strip(), new.strip()) for old, new in changed} <= {("enabled: true", "enabled: false")}


def test_what_is_typed_wins_over_an_ablation() -> None:
    config = load(["ablation=without_quality_verification", "pipeline.score.enabled=true"])
    assert config.pipeline.score.enabled
