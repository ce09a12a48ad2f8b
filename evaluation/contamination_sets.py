"""The benchmarks whose prompts training data can be searched for, each read from its own published files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from autoif.errors import ConfigError
from evaluation.data import Source, content, locate, missing, read_jsonl
from evaluation.responses import Question


@dataclass(frozen=True)
class PromptSet:
    """A benchmark's prompts (``size`` of them): its ``module``, imported on first use, its files there, and how prompts
    are read from them."""

    size: int
    module: str
    files: Callable[[Any], tuple[Source, ...]]
    prompts: Callable[[Any, Sequence[Path]], list[Question]]

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """Where the files come from."""
        return self.files(import_module(f"evaluation.{self.module}"))

    def read(self, data_dir: str | None) -> list[Question]:
        """The prompts. Raises :class:`DataError` for files that are missing or malformed."""
        paths = [locate(source, data_dir) for source in self.sources]
        return self.prompts(import_module(f"evaluation.{self.module}"), paths)


def _own(module: Any) -> tuple[Source, ...]:
    return (module.SOURCE,)


def _rows(id: str, prompt: str) -> Callable[[Any, Sequence[Path]], list[Question]]:
    def read(_: Any, paths: Sequence[Path]) -> list[Question]:
        return [Question(str(row[id]), row[prompt]) for path in paths for _, row in read_jsonl(path, id, prompt)]

    return read


def _followbench(module: Any, paths: Sequence[Path]) -> list[Question]:
    return [Question(item.id, item.instruction) for item in module.load(paths[0].parent.parent)]


def _infobench(module: Any, paths: Sequence[Path]) -> list[Question]:
    return [Question(item.id, item.prompt) for item in module.load(paths[0])]


def _humaneval(module: Any, paths: Sequence[Path]) -> list[Question]:
    return [Question(problem.id, problem.prompt) for problem in module.load(paths[0]).values()]


def _mt_bench(_: Any, paths: Sequence[Path]) -> list[Question]:
    """Both turns: either may stand in training data without the other."""
    return [
        Question(f"{row['question_id']}/{turn}", text)
        for _, row in read_jsonl(paths[0], "question_id", "turns")
        for turn, text in enumerate(row["turns"], 1)
    ]


def _arena_hard(version: str, size: int) -> PromptSet:
    return PromptSet(size, "arena_hard", lambda module: (getattr(module, version).source(),), _rows("uid", "prompt"))


SETS: dict[str, PromptSet] = {
    "ifeval": PromptSet(541, "data", lambda module: (module.IFEVAL,), _rows("key", "prompt")),
    "followbench": PromptSet(820, "followbench", lambda module: module.SOURCES, _followbench),
    "infobench": PromptSet(500, "infobench", _own, _infobench),
    "ifbench": PromptSet(300, "ifbench", _own, _rows("key", "prompt")),
    "mt_bench": PromptSet(160, "mt_bench", lambda module: (module.QUESTIONS,), _mt_bench),
    "arena_hard_v0.1": _arena_hard("V01", 500),
    "arena_hard_v2.0": _arena_hard("V20", 750),
    "gsm8k": PromptSet(1319, "gsm8k", _own, lambda module, paths: module.questions(paths[0])),
    "humaneval": PromptSet(164, "humaneval", _own, _humaneval),
}


def check_names(names: Sequence[str], setting: str) -> str | None:
    """What is wrong with a list of benchmarks, in one line that starts with the ``setting``; None if nothing is."""
    if unknown := [name for name in names if name not in SETS]:
        return f"{setting}: no benchmark {', '.join(unknown)}; there are {', '.join(SETS)}"
    return None


def load(names: Sequence[str], data_dir: str | None) -> dict[str, list[Question]]:
    """The prompts of each benchmark.

    Raises:
        ConfigError: for a benchmark that is not known.
        DataError: for files that are missing or malformed.
    """
    if problem := check_names(names, "benchmarks"):
        raise ConfigError(problem)
    return {name: SETS[name].read(data_dir) for name in names}


def contents(names: Sequence[str], data_dir: str | None) -> Mapping[str, str]:
    """What a fingerprint says of each benchmark's files."""
    return {name: " ".join(content(source, data_dir) for source in SETS[name].sources) for name in names}


def absent(name: str, data_dir: str | None) -> str | None:
    """Why a benchmark can't be read without the hub, or None."""
    return next((reason for source in SETS[name].sources if (reason := missing(source, data_dir))), None)
