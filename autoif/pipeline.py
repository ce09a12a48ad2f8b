"""The graph of a run, readable top to bottom: which stages follow from a configuration, and from what.

::

    seeds ─ self_instruct ─ write_verifiers ─ cross_verify ─ back_translate ─ nli_filter ─┐
    queries ───────────────────────────── attach_queries ─ respond ─ verify_responses ─ score ─┐
      sft_dataset ─ train_sft ─┬─ preference_dataset ─ train_dpo                          ─┐
                               └─ [ sample ─ verify_samples ─ online_pairs ─ train_dpo ] × N ─┴─ evaluation ─ results

GRPO has ``answer_groups ─ train_grpo`` in the place of ``online_pairs ─ train_dpo``; with ``data=sharegpt``,
``conversations`` stands in that of ``sft_dataset``; with ``data=mixed``, ``mix_examples`` joins the two.

Each room says its own part: ``autoif/synthesis/graph.py``, ``autoif/training/graph.py``, ``evaluation/graph.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autoif.config import Data, RunConfig
from autoif.records import TrainStep
from autoif.stage import Stage
from autoif.synthesis.conversations import conversations, mix
from autoif.synthesis.graph import synthesis
from autoif.training.graph import preference_pairs, training
from evaluation.contamination_stages import cleaned, measured
from evaluation.graph import measurement


def build(config: RunConfig) -> tuple[Stage, ...]:
    """All stages of a run, each after its inputs; titles are unique."""
    made = synthesis(config)
    if config.data.kind is not Data.synthesis:
        examples = cleaned(config, conversations(config, made.found.get("queries")))
        if config.data.kind is Data.mixed:
            examples.append(mix(config, made.examples, examples[-1]))
        made = replace(made, stages=(*made.stages, *examples), examples=examples[-1])
    trained = training(config, config.algorithm, made)
    models = [stage for stage in trained if stage.record is TrainStep]
    compared = measured(config, models) if models else []
    rest = (*trained, *compared, *measurement(config, made, models))
    if not rest:  # neither training nor measuring: the data are what is wanted
        return (*made.stages, *([preference_pairs(config, made)] if "scored" in made.found else []))
    if config.data.kind is Data.sharegpt or not models:  # no more of the synthesis than what they are measured with
        used = _behind(rest)
        return (*(stage for stage in made.stages if stage in used), *rest)
    return (*made.stages, *rest)


def _behind(stages: Sequence[Stage]) -> set[Stage]:
    """``stages`` and all that they are made of."""
    found: set[Stage] = set()
    waiting = list(stages)
    while waiting:
        stage = waiting.pop()
        if stage not in found:
            found.add(stage)
            waiting += stage.inputs
    return found
