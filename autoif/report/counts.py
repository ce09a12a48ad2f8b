"""Counts of a run's own stages that tables compare: how much was sampled, what came out of it, what it shares with
benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from autoif.config import RunConfig
from autoif.records import Contamination
from autoif.stage import Stage
from autoif.store import Entry, Store

SFT_DATA = ("mix_examples", "sft_dataset", "conversations")
"""Stages whose rows SFT learns from, the first there is: a mix, what synthesis made, ShareGPT's conversations."""


class _Response(msgspec.Struct):
    score: float | None = None


class _Answers(msgspec.Struct):
    responses: list[_Response] = []


class Counts:
    """Counts of one run, each None while its stage is not done.

    ``counts["sft", subject]``: the subject is what a row is about, for contamination the benchmark.
    """

    def __init__(self, config: RunConfig, stages: Sequence[Stage], store: Store) -> None:
        self._config = config
        self._entries: dict[str, list[Entry]] = {}
        self._known: dict[tuple[str, str], float | None] = {}
        for stage in stages:
            self._entries.setdefault(stage.name, []).append(stage.entry(store))

    def __getitem__(self, asked: tuple[str, str]) -> float | None:
        if asked not in self._known:
            name, subject = asked
            of_benchmark = CONTAMINATION.get(name)
            self._known[asked] = self._contamination(subject, of_benchmark) if of_benchmark else COUNTS[name](self)
        return self._known[asked]

    def sampled(self) -> float | None:
        """Responses that the supervisor gave, before any quality control."""
        rows = list(self._rows("respond"))
        return sum(len(row.responses) for row in rows) if rows else None

    def sft(self) -> float | None:
        """SFT samples."""
        return next((kept for kept in map(self._kept, SFT_DATA) if kept is not None), None)

    def pairs(self) -> float | None:
        """Preference pairs, of all rounds."""
        offline, online = self._kept("preference_dataset"), self._kept("online_pairs")
        return None if offline is None and online is None else (offline or 0) + (online or 0)

    def well_scored(self) -> float | None:
        """Percentage of the scored responses that reach the threshold."""
        scores = [r.score for row in self._rows("score") for r in row.responses if r.score is not None]
        scores += [r.score for row in self._dropped("score") for r in row.responses if r.score is not None]
        good = sum(score >= self._config.pipeline.score.threshold for score in scores)
        return 100 * good / len(scores) if scores else None

    def _contamination(self, benchmark: str, count: Callable[[Contamination], float | None]) -> float | None:
        """A count of what SFT learns from against ``benchmark``."""
        for entry in self._entries.get("contamination", []):
            if entry.done:
                for row in entry.records(Contamination):
                    if row.benchmark == benchmark and row.data in SFT_DATA:
                        return count(row)
        return None

    def _kept(self, stage: str) -> float | None:
        manifests = [entry.manifest() for entry in self._entries.get(stage, [])]
        done = [manifest.kept for manifest in manifests if manifest]
        return sum(done) if done and len(done) == len(manifests) else None

    def _rows(self, stage: str) -> Iterator[_Answers]:
        decoder = msgspec.json.Decoder(_Answers)
        for entry in self._entries.get(stage, []):
            if entry.done:
                with entry.records_path.open("rb") as rows:
                    yield from (decoder.decode(row) for row in rows if row.strip())

    def _dropped(self, stage: str) -> Iterator[_Answers]:
        """Whole records that a stage dropped; the single responses among them stand in their records already."""
        decoder = msgspec.json.Decoder(_Answers)
        for entry in self._entries.get(stage, []):
            if entry.done:
                for dropped in entry.rejected():
                    if dropped.reason == "no_response_left":
                        yield decoder.decode(dropped.record)


COUNTS: dict[str, Callable[[Counts], float | None]] = {
    "sampled": Counts.sampled,
    "sft": Counts.sft,
    "pairs": Counts.pairs,
    "well_scored": Counts.well_scored,
}
CONTAMINATION: dict[str, Callable[[Contamination], float | None]] = {
    "train": lambda row: row.train,
    "test": lambda row: row.test,
    "rephrased": lambda row: row.rephrased,
    "rephrased_share": lambda row: None if row.rephrased is None else 100 * row.rephrased / max(1, row.test),
    "ngram_share": lambda row: 100 * row.overlapping / max(1, row.test),
}
"""What a column's ``count`` may name: of a run, or of its SFT samples and a benchmark."""
