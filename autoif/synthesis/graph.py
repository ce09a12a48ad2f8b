"""The synthesis part of the graph: from seeds and queries, or from a file, to training samples (paper §3.1, §3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from autoif.config import RunConfig, Start
from autoif.errors import ConfigError
from autoif.interchange import start
from autoif.records import Prompt, SftExample
from autoif.stage import CHUNK, Stage
from autoif.synthesis import datasets, query_graph
from autoif.synthesis.instruction_graph import instruction_level
from evaluation.contamination_stages import cleaned

__all__ = ["Synthesis", "instruction_level", "synthesis"]


@dataclass(frozen=True, slots=True)
class Synthesis:
    """The synthesis part of a graph: all its stages, and those that later parts start from.

    A file that a run starts from may lack some of them: asking for what it lacks is a :class:`ConfigError` that says
    what to do. ``pairs``: imported preference pairs, that need no making.
    """

    stages: tuple[Stage, ...]
    examples: Stage
    kind: Start
    found: dict[str, Stage]
    pairs: Stage | None = None

    @property
    def verified(self) -> Stage:
        """The verified instructions."""
        return self._get("verified", "instructions with functions and cases", "evaluation.heldout.limit=0")

    @property
    def queries(self) -> Stage:
        """The pool of user queries."""
        return self._get("queries", "user queries", "evaluation.heldout.limit=0")

    @property
    def prompts(self) -> Stage:
        """The training prompts with their functions."""
        return self._get("prompts", "prompts with functions", "algorithm=sft or algorithm=offline_dpo")

    @property
    def scored(self) -> Stage:
        """The answers that passed every filter."""
        return self._get("scored", "answers", "algorithm=sft")

    @property
    def judged(self) -> tuple[Stage, ...]:
        """What offline pairs are made of: answers, and the instructions with their cases where there are any."""
        return (self.scored, *([self.verified] if "verified" in self.found else []))

    def _get(self, name: str, what: str, instead: str) -> Stage:
        if name not in self.found:
            raise ConfigError(f"pipeline.start.kind={self.kind.value}: such a file holds no {what}: add {instead}")
        return self.found[name]


def synthesis(config: RunConfig) -> Synthesis:
    """Instructions and verifiers, then prompts and responses, then the SFT samples. Disabled filters are left out."""
    kind = config.pipeline.start.kind
    if kind in (Start.sft, Start.pairs):
        return _of_training_file(config)
    if kind not in start.BEFORE:
        return _of_answers_file(config)
    verifiers = instruction_level(config)
    verified, pool = verifiers[-1], query_graph.pool(config)
    prompts = query_graph.prompts(config, verified, pool)
    stages = [*verifiers, pool, *prompts]
    if kind is Start.query_rft:
        stages += cleaned(config, start.answers(config))
    else:
        stages.append(query_graph.responses(config, prompts[-1]))
    if config.pipeline.check_functions.enabled:
        stages += query_graph.function_checks(config, verified, stages[-1])
        verified, narrowed = stages[-2:]
        # Own answers are sampled, and models measured, with the functions that are left.
        prompts = query_graph.prompts(config, verified, pool, mark="_checked")
        stages += prompts
        stages += query_graph.filters(config, narrowed, executed=True)
    else:
        stages += query_graph.filters(config, stages[-1])
    examples = _examples(config, stages[-1])
    found = {"verified": verified, "queries": pool, "prompts": prompts[-1], "scored": stages[-1]}
    return Synthesis((*stages, examples), examples, kind, found)


def _examples(config: RunConfig, scored: Stage) -> Stage:
    pipeline = config.pipeline
    return Stage(
        name="sft_dataset",
        record=SftExample,
        function=datasets.sft_dataset,
        config=pipeline.sft_dataset,
        inputs=(scored,),
        seed=config.data_seed,
        chunk=CHUNK,
        estimate=partial(datasets.estimate_sft, pipeline.sft_dataset, pipeline.respond.samples),
    )


def _of_answers_file(config: RunConfig) -> Synthesis:
    """From answers whose instructions have no cases: those with functions are executed, the others carry a number."""
    kind = config.pipeline.start.kind
    stages = cleaned(config, start.answers(config))
    answered = stages[-1]
    found: dict[str, Stage] = {}
    if kind is Start.dpo_query_w_funcs:
        prompts = Stage(
            name="import_prompts", record=Prompt, function=start.read_prompts, inputs=(answered,), chunk=CHUNK
        )
        found["prompts"] = prompts
        stages += [prompts, *query_graph.filters(config, answered)]
    else:
        stages += query_graph.decided(config, answered)
    examples = _examples(config, stages[-1])
    if kind is not Start.query_rft_score:  # all of whose answers passed: there is nothing to reject
        found["scored"] = stages[-1]
    return Synthesis((*stages, examples), examples, kind, found)


def _of_training_file(config: RunConfig) -> Synthesis:
    """From a file of the authors' results, straight into training."""
    kind = config.pipeline.start.kind
    if kind is Start.sft:
        examples = cleaned(config, start.examples(config))
        return Synthesis(tuple(examples), examples[-1], kind, {})
    pairs = cleaned(config, start.pairs(config))
    if config.pipeline.start.sft:
        examples = cleaned(config, start.examples(config))
        return Synthesis((*examples, *pairs), examples[-1], kind, {}, pairs[-1])
    chosen = start.chosen(config, pairs[-1])
    return Synthesis((*pairs, chosen), chosen, kind, {}, pairs[-1])
