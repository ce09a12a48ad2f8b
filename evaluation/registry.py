"""The list of benchmarks: where each stands and which section of the configuration is its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from autoif.config import BenchmarkConfig, EvaluationConfig
from evaluation.benchmark import Benchmark


@dataclass(frozen=True, slots=True)
class Place:
    """A benchmark's settings in a configuration, and the module that holds its ``DEFINITION``."""

    settings: Callable[[EvaluationConfig], BenchmarkConfig]
    module: str


PLACES: dict[str, Place] = {
    "ifeval": Place(lambda config: config.ifeval, "evaluation.ifeval"),
    "gsm8k": Place(lambda config: config.gsm8k, "evaluation.gsm8k"),
}
"""Section of the evaluation group → its benchmark, in the order of results."""


def benchmark(section: str) -> Benchmark:
    """The benchmark that ``evaluation.<section>`` configures; imports its module alone."""
    found: Benchmark = import_module(PLACES[section].module).DEFINITION
    return found


def chosen(config: EvaluationConfig) -> dict[str, BenchmarkConfig]:
    """The settings of the benchmarks that are on, by section; held-out prompts are apart."""
    found = {section: place.settings(config) for section, place in PLACES.items()}
    return {section: settings for section, settings in found.items() if settings.limit != 0}
