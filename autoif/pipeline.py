"""The graph of a run, readable top to bottom: which stages follow from a configuration, and from what.

::

    seeds ─ self_instruct ─ write_verifiers ─ cross_verify ─ back_translate ─ nli_filter ─┐
    queries ───────────────────────────── attach_queries ─ respond ─ verify_responses ─ score ─┐
      sft_dataset ─ train_sft ─┬─ preference_dataset ─ train_dpo                          ─┐
                               └─ [ sample ─ verify_samples ─ online_pairs ─ train_dpo ] × N ─┴─ evaluation ─ results

Each room says its own part: ``autoif/synthesis/graph.py``, ``autoif/training/graph.py``, ``evaluation/graph.py``.
"""

from __future__ import annotations

from autoif.config import RunConfig
from autoif.records import TrainStep
from autoif.stage import Stage
from autoif.synthesis.graph import synthesis
from autoif.training.graph import training
from evaluation.contamination_stages import measured
from evaluation.graph import measurement


def build(config: RunConfig) -> tuple[Stage, ...]:
    """All stages of a run, each after its inputs; titles are unique."""
    made = synthesis(config)
    trained = training(config, config.algorithm, made)
    models = [stage for stage in trained if stage.record is TrainStep]
    return (*made.stages, *trained, *measured(config, models), *measurement(config, made, models))
