"""The synthesis funnel as numbers: what entered each stage, what it kept, what it dropped and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from autoif.report.collect import Report, StageView
from autoif.report.select import RejectedGroup, Tally
from autoif.report.text import count, percent

INSTRUCTION_LEVEL = (
    *("self_instruct", "near_duplicates", "write_verifiers", "import_verifiers", "cross_verify"),
    *("mutation_check", "back_translate", "nli_filter", "compose"),
)
QUERY_LEVEL = (
    *("attach_queries", "decontaminate", "respond", "import_answers", "check_functions", "narrow_answers"),
    *("verify_responses", "score", "sft_dataset", "preference_dataset", "import_examples", "import_pairs"),
    "chosen_answers",
)
ONLINE = ("sample", "verify_samples", "online_pairs", "answer_groups")
PANELS = (("Instructions to verified functions", INSTRUCTION_LEVEL), ("Queries to training data", QUERY_LEVEL))
ABOUT = {
    "self_instruct": "seed instructions and their rewrites, without duplicates",
    "near_duplicates": "the same demand in other words drops out",
    "write_verifiers": "a model writes functions and test cases",
    "import_verifiers": "instructions, functions and cases of a file",
    "cross_verify": "functions and cases vote on each other by execution",
    "mutation_check": "functions must refuse damaged answers",
    "back_translate": "functions read back into instructions",
    "nli_filter": "contradicting back-translations drop out",
    "compose": "compatible instructions joined into harder ones",
    "attach_queries": "user queries joined to instructions",
    "decontaminate": "prompts that hold no benchmark's prompt",
    "respond": "responses sampled from the supervisor",
    "import_answers": "prompts and answers of a file",
    "check_functions": "functions that real responses speak against drop out",
    "narrow_answers": "answers of the instructions that are left",
    "verify_responses": "responses executed against the functions",
    "score": "responses scored for answering the query",
    "sft_dataset": "verified responses as SFT samples",
    "preference_dataset": "followed against not followed, as DPO pairs",
    "import_examples": "SFT samples of a file",
    "import_pairs": "DPO pairs of a file",
    "chosen_answers": "the pairs' chosen answers as SFT samples",
    "sample": "the model answers training prompts itself",
    "verify_samples": "its answers executed against the functions",
    "online_pairs": "followed against not followed, as DPO pairs",
    "answer_groups": "answers to one prompt with rewards, for GRPO",
}


@dataclass(slots=True)
class FunnelStep:
    """One stage of the funnel. ``entered`` counts its input records (for the first stage: its candidates).

    ``dropped``: reasons that dropped whole records; ``parts``: reasons that dropped functions, cases, replies or
    responses inside them; ``inside``: what the kept records hold.
    """

    title: str
    about: str
    entered: int
    kept: int
    dropped: list[RejectedGroup] = field(default_factory=list)
    parts: list[RejectedGroup] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)

    @property
    def share(self) -> str:
        """How much of what entered came out: a percentage, with a factor where a stage makes several of one."""
        if not self.entered:
            return "–"
        passed = self.entered - sum(group.count for group in self.dropped)
        if not 0 < passed < self.kept:
            return percent(self.kept / self.entered, 0)
        factor = f"×{self.kept / passed:.3g}"
        return factor if passed == self.entered else f"{percent(passed / self.entered, 0)} {factor}"


def funnel(report: Report) -> list[tuple[str, list[FunnelStep]]]:
    """Finished synthesis stages by panel, each online round one of its own; panels without any are left out."""
    done = [stage for stage in report.stages if stage.manifest]
    panels = [(title, [stage for stage in done if stage.name in names]) for title, names in PANELS]
    for stage in done:
        if stage.name in ONLINE:
            if stage.name == ONLINE[0]:
                panels.append((f"Online round {len(panels) - len(PANELS) + 1}", []))
            panels[-1][1].append(stage)
    before = {stage.title: stage.tally for stage in report.stages}
    return [
        (title, [_step(stage, before.get(stage.inputs[0]) if stage.inputs else None) for stage in stages])
        for title, stages in panels
        if stages
    ]


def _step(stage: StageView, before: Tally | None) -> FunnelStep:
    manifest = stage.manifest
    assert manifest is not None
    dropped = [group for group in stage.samples.rejected if group.unit == "record"]
    parts = [group for group in stage.samples.rejected if group.unit != "record"]
    entered = manifest.inputs or manifest.kept + sum(group.count for group in dropped)
    inside = list(_inside(stage.tally, before or Tally()))
    return FunnelStep(stage.title, ABOUT.get(stage.name, ""), entered, manifest.kept, dropped, parts, inside)


def _inside(tally: Tally, before: Tally) -> Iterator[str]:
    """What the kept records hold, of what their input's records held."""
    for now, earlier, noun in (
        (tally.functions, before.functions, "functions"),
        (tally.cases, before.cases, "cases"),
        (tally.alive, before.alive or tally.responses, "responses"),
    ):
        if now:
            yield f"{count(now)} of {count(earlier)} {noun}" if now < earlier else f"{count(now)} {noun}"
