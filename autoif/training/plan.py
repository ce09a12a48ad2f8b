"""Which sequences go into which step: deterministic from the seed, torch-free, the same after a resume.

An epoch is a shuffle of the dataset cut into global batches. Inside a global batch the sequences are dealt to
accumulation steps × processes so that each micro-batch holds about as many tokens, longest first. Every step has
exactly ``accumulation`` micro-batches on every process (DeepSpeed carries an incomplete window over); the last
incomplete batch of an epoch leaves some of them smaller, or empty.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step: ``micro[accumulation][rank]`` lists dataset indices. ``epoch`` counts from 0."""

    epoch: int
    micro: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def indices(self) -> tuple[int, ...]:
        """All sequences of the global batch."""
        return tuple(index for ranks in self.micro for part in ranks for index in part)


class Plan:
    """The whole run's steps, made epoch by epoch.

    Args:
        lengths: tokens of each sequence (pair).
        global_batch, micro_batch: sequences (pairs) a step and a device-micro-batch.
        world: number of processes.
    """

    def __init__(
        self, lengths: Sequence[int], *, global_batch: int, micro_batch: int, world: int, epochs: int, seed: int
    ) -> None:
        if not lengths or min(global_batch, micro_batch, world, epochs) < 1:
            raise ValueError("a plan needs sequences, and batch sizes, processes and epochs of at least 1")
        self.lengths, self.world, self.epochs, self.seed = lengths, world, epochs, seed
        self.batch = min(global_batch, len(lengths))
        self.accumulation = math.ceil(self.batch / (micro_batch * world))
        self.steps_per_epoch = math.ceil(len(lengths) / self.batch)

    @property
    def steps(self) -> int:
        """Optimizer steps of the run."""
        return self.steps_per_epoch * self.epochs

    def __iter__(self) -> Iterator[Step]:
        for epoch in range(self.epochs):
            yield from self.epoch(epoch)

    def epoch(self, epoch: int) -> Iterator[Step]:
        """The steps of one epoch."""
        order = list(range(len(self.lengths)))
        random.Random(f"{self.seed}/{epoch}").shuffle(order)
        for start in range(0, len(order), self.batch):
            yield Step(epoch, self._deal(order[start : start + self.batch]))

    def _deal(self, batch: list[int]) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """Longest first to the micro-batch with the fewest tokens that has room."""
        bins: list[list[int]] = [[] for _ in range(self.accumulation * self.world)]
        room = math.ceil(self.batch / len(bins))
        tokens = [0] * len(bins)
        for index in sorted(batch, key=lambda i: (-self.lengths[i], i)):
            target = min((b for b in range(len(bins)) if len(bins[b]) < room), key=lambda b: (tokens[b], b))
            bins[target].append(index)
            tokens[target] += self.lengths[index]
        rows = [tuple(part) for part in bins]
        return tuple(tuple(rows[i * self.world : (i + 1) * self.world]) for i in range(self.accumulation))


def micro_batch_rows(micro_batch_size: int, answers: int) -> int:
    """Rows of a micro-batch whose rows hold at most so many ``answers``: the hardware counts conversations and pairs,
    and of larger groups as many go together as hold no more answers than those pairs, at least one."""
    return micro_batch_size if answers <= 2 else max(1, 2 * micro_batch_size // answers)


def learning_rate_factor(step: int, *, total: int, warmup: int, schedule: str) -> float:
    """Learning rate at ``step`` (from 0) as a share of its maximum.

    Warm-up rises linearly and reaches 1 at its last step, so no step is spent at rate 0; decay then falls from 1
    towards 0, which it would reach one step after the last. ``schedule``: linear, cosine or constant.
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    match schedule:
        case "linear":
            return 1.0 - progress
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * progress))
        case _:
            return 1.0


def warmup_steps(steps: int | None, ratio: float, total: int) -> int:
    """Warm-up in steps: the count if given, else the ratio of ``total`` (rounded up); less than the whole run."""
    wanted = steps if steps is not None else math.ceil(ratio * total)
    return max(0, min(wanted, total - 1))
