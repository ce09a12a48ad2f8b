"""The list of benchmarks: where each stands and which section of the configuration is its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from autoif.config import EvaluationConfig, SectionConfig
from evaluation.benchmark import Benchmark


@dataclass(frozen=True, slots=True)
class Place:
    """A benchmark's settings in a configuration, and the module that holds its definition."""

    settings: Callable[[EvaluationConfig], SectionConfig]
    module: str
    definition: str = "DEFINITION"


PLACES: dict[str, Place] = {
    "ifeval": Place(lambda config: config.ifeval, "evaluation.ifeval"),
    "gsm8k": Place(lambda config: config.gsm8k, "evaluation.gsm8k"),
    "humaneval": Place(lambda config: config.humaneval, "evaluation.humaneval"),
    "followbench": Place(lambda config: config.followbench, "evaluation.followbench_definition"),
    "infobench": Place(lambda config: config.infobench, "evaluation.infobench"),
    "ifbench": Place(lambda config: config.ifbench, "evaluation.ifbench"),
    "mt_bench": Place(lambda config: config.mt_bench, "evaluation.mt_bench_definition"),
    "arena_hard_v01": Place(lambda c: c.arena_hard_v01, "evaluation.arena_hard_definition", "DEFINITION_V01"),
    "arena_hard_v20": Place(lambda c: c.arena_hard_v20, "evaluation.arena_hard_definition", "DEFINITION_V20"),
    "mmlu": Place(lambda config: config.mmlu, "evaluation.mmlu"),
    "ceval": Place(lambda config: config.ceval, "evaluation.ceval"),
}
"""Section of the evaluation group → its benchmark, in the order of results."""


def benchmark(section: str) -> Benchmark:
    """The benchmark that ``evaluation.<section>`` configures; imports its module alone."""
    place = PLACES[section]
    found: Benchmark = getattr(import_module(place.module), place.definition)
    return found


def named(name: str) -> Benchmark | None:
    """The benchmark whose results carry ``name``, which a section's name is without its dots."""
    section = name.replace(".", "")
    return benchmark(section) if section in PLACES else None


def chosen(config: EvaluationConfig) -> dict[str, SectionConfig]:
    """The settings of the benchmarks that are on, by section; held-out prompts are apart."""
    found = {section: place.settings(config) for section, place in PLACES.items()}
    return {section: settings for section, settings in found.items() if settings.limit != 0}
