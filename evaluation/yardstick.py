"""One yardstick for all points of an ablation: held-out prompts whose functions passed every check of the paper.

A run that leaves a check out, or moves its threshold, would otherwise be measured by functions that nothing checked,
and on other prompts than the run it is compared with.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autoif.config import Checks, CrossVerifyConfig, RunConfig, VerifyResponsesConfig
from autoif.stage import Stage
from autoif.store import Store
from autoif.synthesis.graph import Synthesis, instruction_level


def yardstick(config: RunConfig, made: Synthesis) -> tuple[Stage, list[Stage]]:
    """The stage whose verified instructions make the held-out prompts, and what it takes beyond the run's stages."""
    if config.evaluation.heldout.checks is Checks.own:
        return made.verified, []
    pipeline = config.pipeline
    checked = replace(
        pipeline, cross_verify=CrossVerifyConfig(), back_translate=replace(pipeline.back_translate, enabled=True)
    )
    nowhere = Store(Path())
    own = {stage.entry(nowhere).fingerprint: stage for stage in made.stages}
    last: Stage | None = None
    extra = []
    for stage in instruction_level(replace(config, pipeline=checked)):
        if last is not None:
            stage = replace(stage, inputs=(last,))
        last = own.get(stage.entry(nowhere).fingerprint)
        if last is None:
            last = replace(stage, label=f"yardstick_{stage.name}")
            extra.append(last)
    assert last is not None
    return last, extra


def threshold(config: RunConfig) -> float:
    """Accuracy that a followed held-out prompt exceeds."""
    if config.evaluation.heldout.checks is Checks.own:
        return config.pipeline.verify_responses.threshold
    return VerifyResponsesConfig().threshold
