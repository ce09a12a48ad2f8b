"""Typed records: the rows that stages read and write.

Every record is an immutable ``msgspec.Struct``: validated when read, encoded in field order when written, so the
same record is the same bytes everywhere. Rows are JSONL, split on ``\n`` alone. Names are the paper's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from autoif.errors import DataError

RECORD_VERSION = 1
"""Part of every stage's fingerprint: raise it when a record's meaning changes."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Base of all rows."""


R = TypeVar("R", bound=Record)

_SURROGATE = re.compile("[\ud800-\udfff]")


def digest(*parts: str, size: int = 16) -> str:
    """Content id: the first ``size`` hex digits of the SHA-256 of ``parts`` (separated by NUL)."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:size]


def unicode(text: str) -> str:
    """Text that can be written as UTF-8: half a surrogate pair, which JSON's escapes allow, becomes U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


class Message(Record, frozen=True):
    """One chat turn; ``role`` is system, user or assistant."""

    role: str
    content: str


class Instruction(Record, frozen=True):
    """An atomic, verifiable constraint on an answer (paper §3.1), or several composed: then ``parts`` holds their ids.

    ``origin`` is seed, augmented or composed.
    """

    id: str
    text: str
    origin: str
    parent: str | None = None
    parts: tuple[str, ...] = ()

    @property
    def constraints(self) -> int:
        """How many atomic constraints it holds."""
        return len(self.parts) or 1


class Function(Record, frozen=True):
    """A verification function ``evaluate(response) -> bool`` and what the stages found out about it.

    ``accuracy``: share of the instruction's cases on which it is right, in [0, 1] (cross verification).
    ``back_translation``: the instruction as a model reads it out of the code; ``nli``: its label.
    """

    id: str
    code: str
    accuracy: float | None = None
    back_translation: str | None = None
    nli: str | None = None


class Case(Record, frozen=True):
    """A test case: an answer and whether it follows the instruction. ``accuracy``: share of functions that agree."""

    input: str
    expected: bool
    accuracy: float | None = None


class Verifier(Record, frozen=True):
    """An instruction with its verification functions and cases; each stage of §3.1 narrows it."""

    id: str
    instruction: Instruction
    functions: tuple[Function, ...]
    cases: tuple[Case, ...]


class Reply(Record, frozen=True):
    """A raw model reply that a stage could not use, kept as evidence beside the reason."""

    id: str
    index: int
    text: str


class Query(Record, frozen=True):
    """A real user query (a first ShareGPT turn). ``split`` is train or heldout; held-out ones are never trained on."""

    id: str
    text: str
    source: str
    split: str = "train"


class Prompt(Record, frozen=True):
    """A query with an instruction attached (§3.2). ``text`` is what the model that is trained sees.

    ``constraints``: how many instructions were composed into this one, the prompt's level of difficulty.
    """

    id: str
    verifier_id: str
    instruction: str
    query: str
    text: str
    functions: tuple[Function, ...]
    constraints: int = 1


class Response(Record, frozen=True):
    """One sampled answer. ``outcomes`` holds an execution outcome's name for each function of the prompt.

    ``accuracy``: share of functions that returned True among those that count as evidence, in [0, 1]; None when no
    function gave evidence. ``score``: the judge's 1..10. ``dropped``: why it may not be trained on, else None.
    """

    index: int
    text: str
    outcomes: tuple[str, ...] = ()
    accuracy: float | None = None
    score: float | None = None
    dropped: str | None = None


class Answers(Record, frozen=True):
    """A prompt and the responses that were sampled for it."""

    id: str
    prompt: Prompt
    responses: tuple[Response, ...]


class SftExample(Record, frozen=True):
    """A supervised sample: the last message is the assistant's. Functions stay beside the row that they verified.

    ``constraints``: the instructions that its prompt composes.
    """

    id: str
    messages: tuple[Message, ...]
    instruction: str
    functions: tuple[str, ...]
    accuracy: float
    score: float | None = None
    constraints: int = 1


class PreferencePair(Record, frozen=True):
    """A DPO pair on one prompt. ``level`` is query, instruction (§3.3) or online.

    ``rejected_whole`` is False where the token limit cut the rejected answer off: then it has no end of turn, and
    training does not teach the model to avoid one.
    """

    id: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    level: str
    chosen_accuracy: float
    rejected_accuracy: float
    rejected_whole: bool = True


class GroupAnswer(Record, frozen=True):
    """One of a prompt's own answers: its reward in [0, 1] and its advantage over the group's mean.

    ``whole`` is False where the token limit cut it off: then it has no end of turn to learn.
    """

    text: str
    reward: float
    advantage: float
    whole: bool = True


class AnswerGroup(Record, frozen=True):
    """The model's own answers to one prompt, compared with each other (GRPO)."""

    id: str
    prompt: tuple[Message, ...]
    answers: tuple[GroupAnswer, ...]


class TrainStep(Record, frozen=True):
    """One optimizer step of the training curve; equal runs give equal rows, so no times stand here.

    ``epoch``: epochs done after the step. ``loss``: mean over the global batch (SFT: per response token, in nats; DPO:
    per pair; GRPO: per group). ``grad_norm``: before clipping. ``tokens``: tokens of the step's sequences, prompts
    included, a shared prompt counted for each of its answers. ``metrics``: the algorithm's own means over the global
    batch (DPO: margin, accuracy, chosen_reward, rejected_reward; GRPO: reward, kl, clipped, length).
    """

    step: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float
    tokens: int
    metrics: dict[str, float] = {}


class Result(Record, frozen=True):
    """One measured number with its interval: ``low``..``high`` is the 95% interval, ``n`` the items behind it.

    Over several seeds ``value`` is the mean of ``by_seed``, ``sd`` their standard deviation and the interval the mean
    of theirs.
    """

    benchmark: str
    metric: str
    value: float
    n: int
    low: float | None = None
    high: float | None = None
    model: str = ""
    seed: int = 0
    judge: str | None = None
    sample: bool = False
    """True when only part of the benchmark was run."""
    sd: float | None = None
    by_seed: tuple[float, ...] = ()


class Comparison(Record, frozen=True):
    """One metric of two models on the same ``n`` items (or parts of items): ``difference`` is candidate − baseline.

    ``low``..``high``: its 95% interval; ``p_value``: two-sided, of ``test`` (mcnemar or paired_bootstrap).
    ``gained`` and ``lost`` hold the ids of the items on which the candidate does better and worse.
    """

    benchmark: str
    metric: str
    baseline: str
    candidate: str
    difference: float
    low: float
    high: float
    p_value: float
    test: str
    n: int
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class EvaluationItem(Record, frozen=True):
    """One benchmark item: what was asked, answered, and how each metric judged it (values in [0, 1]).

    ``parts``: metrics that are judged part by part (IFEval's instructions, questions of a checklist): their mean is
    over all parts of all items. ``labels``: what the parts, or the item, are about (instruction types, categories).
    ``judge``: the model that judged, where one did. ``seed``: of an answer that was drawn at random.
    """

    id: str
    benchmark: str
    model: str
    prompt: str
    response: str
    scores: dict[str, float]
    parts: dict[str, tuple[float, ...]] = {}
    labels: tuple[str, ...] = ()
    judge: str | None = None
    detail: str = ""
    seed: int = 0


class Overlap(Record, frozen=True):
    """A training row that holds a benchmark prompt, or says it in other words.

    ``share``: of the prompt's n-grams in the row, in [0, 1]; for a rephrased one the likeness by which it was chosen.
    ``prompt``, ``text``: the beginning of the prompt, and the part of the row around what it shares with it.
    """

    benchmark: str
    item: str
    row: str
    share: float
    prompt: str
    text: str
    rephrased: bool = False


class Contamination(Record, frozen=True):
    """How much of a benchmark stands in a training set (paper table 4).

    ``train``, ``test``: rows and prompts compared. ``overlapping``: prompts that share any n-gram of ``words`` words
    with a row; ``contaminated``: prompts of which one row holds at least ``share`` of the n-grams; ``rows``: rows that
    hold as much. ``asked``: pairs shown to ``judge``; ``rephrased``: prompts of which it found one said in other
    words (None: no judge); ``unparsable``: verdicts that could not be read. ``examples``: the plainest cases.
    """

    data: str
    benchmark: str
    train: int
    test: int
    overlapping: int
    contaminated: int
    rows: int
    words: int
    share: float
    asked: int = 0
    rephrased: int | None = None
    unparsable: int = 0
    judge: str | None = None
    examples: tuple[Overlap, ...] = ()


class Rejected(Record, frozen=True):
    """A record a stage dropped, and why: ``reason`` is a short fixed name to count by, ``detail`` the evidence."""

    reason: str
    record: msgspec.Raw
    detail: str = ""


class Reject:
    """What a stage function yields for a record it drops; written as :class:`Rejected`."""

    __slots__ = ("detail", "reason", "record")

    def __init__(self, record: Record, reason: str, detail: str = "") -> None:
        self.record, self.reason, self.detail = record, reason, detail

    def encode(self) -> bytes:
        return encode(Rejected(reason=self.reason, record=msgspec.Raw(encode(self.record)), detail=self.detail))


_encoder = msgspec.json.Encoder()


def encode(record: Record) -> bytes:
    """One JSONL row without the newline; equal records give equal bytes."""
    return _encoder.encode(record)


def read_records(path: Path, kind: type[R]) -> Iterator[R]:
    """Stream the rows of a JSONL file. Raises :class:`DataError` naming file and line of a malformed row."""
    decoder = msgspec.json.Decoder(kind)
    with path.open("rb") as rows:
        for number, row in enumerate(rows, 1):
            if not row.strip():
                continue
            try:
                yield decoder.decode(row)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DataError(f"{path}:{number}: not a {kind.__name__} record: {error}") from None


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Write rows to ``path`` (replaced as a whole at the end); returns how many."""
    part = path.with_name(path.name + ".part")
    count = 0
    with part.open("wb") as out:
        for record in records:
            out.write(encode(record) + b"\n")
            count += 1
    part.replace(path)
    return count
