"""What a benchmark is to the rest: its files, how a model is measured on it, how existing answers are scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from autoif.config import BenchmarkConfig, ChoiceConfig, SectionConfig
from autoif.errors import ConfigError, DataError, EngineError
from autoif.execution import ExecutionConfig
from autoif.generation.base import Generator, Sampling
from autoif.records import EvaluationItem, Result
from evaluation import data
from evaluation.data import Source
from evaluation.judge import Judging

T = TypeVar("T")


def _no_scorer() -> NoReturn:
    raise EngineError("this engine generates texts and gives no log-likelihoods")


PROMPTS = Path(__file__).with_name("prompts")


@dataclass(kw_only=True, slots=True)
class Setup:
    """What answers and scores one model on one benchmark.

    ``temperature``: in place of the benchmark's own. ``judging``: who judges, where someone has to. ``scorer`` makes
    lm-eval's model, for log-likelihoods. ``work``: folder for unfinished state. ``facts`` takes what a manifest says
    beside the fingerprint; ``sample`` in it marks a part of the benchmark.
    """

    generator: Generator
    settings: SectionConfig
    model: str
    data_dir: str | None = None
    seed: int = 0
    temperature: float | None = None
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    judging: Judging | None = None
    scorer: Callable[[], Any] = _no_scorer
    work: Path = Path()
    facts: dict[str, Any] = field(default_factory=dict)

    def path(self, source: Source) -> Path:
        """The file of ``source``, its hash noted among the facts. Raises :class:`DataError` when it is missing."""
        return data.noted(source, self.data_dir, self.facts)

    def part(self, chosen: list[T], of: Sized) -> list[T]:
        """``chosen``, noted as a part of the benchmark where there are more ``of`` its prompts."""
        self.facts["sample"] = len(chosen) < len(of)
        return chosen

    def sampling(self, own: float = 0.0) -> Sampling:
        """How answers are decoded, where the benchmark's ``own`` temperature is not overruled."""
        assert isinstance(self.settings, BenchmarkConfig), "this benchmark's answers are not texts"
        temperature = own if self.temperature is None else self.temperature
        return Sampling(temperature=temperature, max_tokens=self.settings.max_tokens)

    def options(self) -> dict[str, Any]:
        """Keyword arguments of an ``evaluate`` that runs one of lm-eval's tasks of texts."""
        sampling = self.sampling()
        return {
            "model": self.model,
            "limit": self.settings.limit,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "seed": self.seed,
            "facts": self.facts,
        }

    @property
    def shots(self) -> int:
        """Solved examples before each question of multiple choice."""
        assert isinstance(self.settings, ChoiceConfig), "this benchmark is not multiple choice"
        return self.settings.shots


@dataclass(frozen=True, kw_only=True, slots=True)
class Existing:
    """Files to score.

    ``responses``: answers in a benchmark's published form; ``judgments``: likewise, for the judged ones. ``model``:
    whose they are; None: all whom a file of judgments names, else the file's own name. ``judge``: who judged, where the
    file does not say. ``partial``: questions without an answer are left out instead of being an error. ``judging``: who
    judges answers that come without judgments. ``facts`` takes ``notes``, what must be said beside the numbers, and
    ``sample``.
    """

    benchmark: str
    model: str | None
    data_dir: str | None
    responses: Path | None = None
    judgments: Path | None = None
    judge: str = "unnamed judge"
    partial: bool = False
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    judging: Judging | None = None
    facts: dict[str, Any] = field(default_factory=lambda: {"notes": []})

    def path(self, source: Source) -> Path:
        """The benchmark's own file, noted when it is not the published one. Raises :class:`DataError`."""
        return data.noted(source, self.data_dir, self.facts)

    def need(self, what: str) -> Path:
        """The file (or folder) of ``responses`` or ``judgments``. Raises what the user can mend."""
        path: Path | None = getattr(self, what)
        if path is None:
            raise ConfigError(f"{self.benchmark} needs a file of {what}: set evaluation.{what}")
        if not path.exists():
            raise DataError(f"{path} does not exist: {self.benchmark} needs it for its {what}")
        return path

    def note(self, *texts: str) -> None:
        """Say ``texts`` beside the numbers."""
        self.facts["notes"] += texts

    def each(self, models: Iterable[str], score: Callable[[str], Sequence[EvaluationItem]]) -> Iterator[EvaluationItem]:
        """Items of every one of ``models``; of several, those whose files don't fit are named in a note and left out.

        Raises :class:`DataError` when none fits.
        """
        faults: list[str] = []
        scored = 0
        for model in models:
            try:
                items = score(model)
            except DataError as error:
                faults.append(f"{model} is not scored: {error}")
                continue
            scored += 1
            yield from items
        if faults and not scored:
            raise DataError("; ".join(fault.partition("is not scored: ")[2] for fault in faults[:3]))
        self.note(*faults)

    @property
    def label(self) -> str:
        """Whose answers these are, where only one model's can be meant."""
        given = self.responses or self.judgments
        name = given.name if given else "model"
        for suffix in (".gz", ".jsonl", ".json"):
            name = name.removesuffix(suffix)
        return self.model or name


def _nothing_lacks(data_dir: str | None) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Benchmark:
    """One benchmark. Its module makes one as ``DEFINITION``; :mod:`evaluation.registry` lists them.

    ``size``: prompts in all. ``measure``: answers with the setup's generator, then scores, item by item. ``rescore``:
    scores existing answers. ``aggregate``: one model's items to results, None for means over items and parts. ``more``:
    results of existing files that take all models. ``references``: the benchmark's own solutions by item, which no
    model's answers should hold. ``lacks``: which package or resource besides ``sources`` is missing here, in one line,
    or None; imports nothing. ``sampled``: whether its own settings draw answers at random. ``judged``: whether a judge
    has a part in it; ``judge_needed``: whether it is nothing without one. ``turns``: answers to a prompt.
    ``judge_calls``: to the judge, for the whole benchmark. ``parts``: subjects, where a limit is of each of them.
    ``prompts``: files in ``evaluation/prompts/`` that are shown to the judge.
    """

    name: str
    size: int
    sources: tuple[Source, ...]
    measure: Callable[[Setup], Iterable[EvaluationItem]]
    rescore: Callable[[Existing], Iterable[EvaluationItem]]
    aggregate: Callable[[Sequence[EvaluationItem], int], list[Result]] | None = None
    more: Callable[[Existing, Sequence[EvaluationItem], int], list[Result]] | None = None
    references: Callable[[Existing], dict[str, str]] | None = None
    lacks: Callable[[str | None], str | None] = _nothing_lacks
    sampled: bool = False
    judged: bool = False
    judge_needed: bool = False
    turns: int = 1
    judge_calls: int = 0
    parts: int = 1
    prompts: tuple[str, ...] = ()

    def calls(self, prompts: int, judged: bool) -> int:
        """Model calls that so many prompts take, the judge's among them."""
        return prompts * self.turns + (-(-self.judge_calls * prompts // self.size) if judged else 0)

    def missing(self, data_dir: str | None) -> str | None:
        """Why it can't be run here without the hub, or None."""
        reasons: Iterator[str | None] = (data.missing(source, data_dir) for source in self.sources)
        return next(filter(None, reasons), None) or self.lacks(data_dir)

    def texts(self) -> dict[str, str]:
        """The prompts by name, for a fingerprint."""
        return {name: (PROMPTS / name).read_text(encoding="utf-8") for name in self.prompts}

    def content(self, data_dir: str | None) -> dict[str, str]:
        """What a fingerprint says of its files: their hashes where they are local, else their addresses."""
        return {source.file: data.content(source, data_dir) for source in self.sources}
