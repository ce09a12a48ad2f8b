"""Datasets in memory as token arrays, and the loader that walks a plan.

A rank loads all rows (4 bytes a token) and computes only its own micro-batches; a resumed run starts the walk at the
step its checkpoint names, so data order needs no saved state.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import msgspec

from autoif.config import Techniques
from autoif.errors import DataError
from autoif.records import AnswerGroup, Message, PreferencePair, SftExample, read_records
from autoif.training.batches import MicroBatch, answers_batch, sft_batch
from autoif.training.chat import Chat, Encoded, EncodedAnswers
from autoif.training.job import Job
from autoif.training.plan import Plan, Step, micro_batch_rows


class Data(Protocol):
    """What the loop needs of a dataset; lists are indexed alike.

    ``lengths``: tokens a row costs (a prompt once for each of its answers). ``learnt``: tokens it is trained on.
    ``computed``: tokens of an epoch that go through the layers (shared prompts once, padding aside). ``answers``:
    sequences of a row, at most. ``dropped``: rows that truncation left nothing of. ``truncated``: rows
    that were cut.
    """

    ids: list[str]
    lengths: list[int]
    learnt: list[int]
    computed: int
    answers: int
    dropped: int
    truncated: int

    def batch(self, indices: tuple[int, ...]) -> MicroBatch:
        """The rows as one micro-batch."""
        ...


class SftData:
    """Conversations."""

    answers = 1

    def __init__(self, path: Path, chat: Chat, max_length: int, techniques: Techniques) -> None:
        self.ids: list[str] = []
        self.rows: list[Encoded] = []
        self.dropped = self.truncated = 0
        self.techniques = techniques
        for example in read_records(path, SftExample):
            row = chat.conversation(example.messages, max_length)
            if row is None:
                self.dropped += 1
                continue
            self.truncated += len(row.tokens) == max_length and row.tokens[-1] not in chat.ends
            self.ids.append(example.id)
            self.rows.append(Encoded(array("i", row.tokens), bytes(row.labels)))
        self.lengths = [len(row.tokens) for row in self.rows]
        self.learnt = [sum(row.labels) - bool(row.labels[0]) for row in self.rows]
        self.computed = sum(self.lengths)

    def batch(self, indices: tuple[int, ...]) -> MicroBatch:
        rows = [self.rows[i] for i in indices]
        return sft_batch([self.ids[i] for i in indices], rows, indices, self.techniques.packing)


class AnswersData:
    """Prompts with several answers each, read by a subclass."""

    def __init__(self, path: Path, chat: Chat, max_length: int, techniques: Techniques) -> None:
        self.ids: list[str] = []
        self.rows: list[EncodedAnswers] = []
        self.dropped = self.truncated = 0
        self.chat, self.max_length, self.techniques = chat, max_length, techniques
        self.read(path)
        self.answers = max((len(row.answers) for row in self.rows), default=1)
        self.learnt = [sum(map(len, row.answers)) for row in self.rows]
        self.lengths = [len(row.answers) * len(row.prompt) + n for row, n in zip(self.rows, self.learnt, strict=True)]
        once = techniques.packing and techniques.share_prompt
        saved = sum((len(row.answers) - 1) * len(row.prompt) for row in self.rows) if once else 0
        self.computed = sum(self.lengths) - saved

    def read(self, path: Path) -> None:
        """Add the rows of a file."""
        raise NotImplementedError

    def add(self, name: str, prompt: Sequence[Message], texts: Sequence[tuple[str, bool]]) -> bool:
        """Add a prompt and its answers (text, whether it is whole); False when there is no room for it."""
        row = self.chat.answers(prompt, texts, self.max_length)
        if row is None:
            self.dropped += 1
            return False
        ends = self.chat.ends
        cut = (whole and answer[-1] not in ends for answer, (_, whole) in zip(row.answers, texts, strict=True))
        self.truncated += any(cut)
        self.ids.append(name)
        self.rows.append(EncodedAnswers(array("i", row.prompt), tuple(array("i", a) for a in row.answers)))
        return True

    def batch(self, indices: tuple[int, ...]) -> MicroBatch:
        rows = [self.rows[i] for i in indices]
        names = [self.ids[i] for i in indices]
        return answers_batch(names, rows, indices, self.techniques.packing, self.techniques.share_prompt)


class PairData(AnswersData):
    """Preference pairs: the answers are chosen and rejected."""

    def read(self, path: Path) -> None:
        for pair in read_records(path, PreferencePair):
            self.add(pair.id, pair.prompt, [(pair.chosen, True), (pair.rejected, pair.rejected_whole)])


class GroupData(AnswersData):
    """GRPO's groups. ``advantages``: of each row's answers; ``rewards``: each row's mean."""

    def read(self, path: Path) -> None:
        self.advantages: list[list[float]] = []
        self.rewards: list[float] = []
        for group in read_records(path, AnswerGroup):
            if self.add(group.id, group.prompt, [(answer.text, answer.whole) for answer in group.answers]):
                self.advantages.append([answer.advantage for answer in group.answers])
                self.rewards.append(sum(answer.reward for answer in group.answers) / len(group.answers))


_KINDS: dict[str, type[SftData | PairData | GroupData]] = {"sft": SftData, "dpo": PairData, "grpo": GroupData}


def load_data(job: Job, chat: Chat) -> SftData | PairData | GroupData:
    """Read and tokenise the job's rows.

    Raises:
        DataError: when no row is left to train on.
    """
    data = _KINDS[job.algorithm](Path(job.data), chat, job.training.max_length, job.hardware.techniques)
    if not data.ids:
        raise DataError(
            f"{job.data}: none of the {data.dropped} rows has room for an answer within max_length="
            f"{job.training.max_length} tokens: raise it"
        )
    return data


def make_plan(job: Job, data: Data) -> Plan:
    """The job's steps over ``data``."""
    return Plan(
        data.lengths,
        global_batch=job.training.global_batch_size,
        micro_batch=micro_batch_rows(job.hardware.micro_batch_size, data.answers),
        world=job.world,
        epochs=job.training.epochs,
        seed=job.seed,
    )


@dataclass(frozen=True, slots=True)
class Loader:
    """This rank's micro-batches from optimizer step ``start`` on; ``len`` counts those before it too, as Lightning
    expects of a loader that resumes."""

    plan: Plan
    data: Data
    rank: int = 0
    start: int = 0
    only_first_epoch: bool = False

    def __len__(self) -> int:
        steps = self.plan.steps_per_epoch if self.only_first_epoch else self.plan.steps
        return steps * self.plan.accumulation

    def __iter__(self) -> Iterator[MicroBatch]:
        steps = self.plan.epoch(0) if self.only_first_epoch else iter(self.plan)
        for step in islice(steps, self.start, None):
            yield from self._step(step)

    def _step(self, step: Step) -> Iterator[MicroBatch]:
        learnt = sum(self.data.learnt[i] for i in step.indices)
        for ranks in step.micro:
            batch = self.data.batch(ranks[self.rank])
            yield msgspec.structs.replace(batch, step_learnt=learnt, step_rows=len(step.indices))
