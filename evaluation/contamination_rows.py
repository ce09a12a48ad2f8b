"""Training rows as they are compared with benchmarks: a run's own records, and rows of anybody's training file."""

from __future__ import annotations

from typing import Any

from autoif.records import AnswerGroup, Answers, PreferencePair, Prompt, Record, SftExample, digest
from evaluation.contamination import Sample


def sample(row: Record) -> Sample:
    """A training row, or a prompt on its way to become one, as it is compared."""
    match row:
        case SftExample():
            asked = [message.content for message in row.messages if message.role != "assistant"]
            return Sample(row.id, "\n".join(asked), "\n".join(message.content for message in row.messages))
        case PreferencePair():
            prompt = "\n".join(message.content for message in row.prompt)
            return Sample(row.id, prompt, "\n".join((prompt, row.chosen, row.rejected)))
        case AnswerGroup():
            prompt = "\n".join(message.content for message in row.prompt)
            return Sample(row.id, prompt, "\n".join((prompt, *(answer.text for answer in row.answers))))
        case Answers():
            kept = (response.text for response in row.responses if response.dropped is None)
            return Sample(row.id, row.prompt.text, "\n".join((row.prompt.text, *kept)))
        case Prompt():
            return Sample(row.id, row.text, row.text)
    raise TypeError(f"{type(row).__name__} is no training data")


def row_sample(row: Any) -> Sample | None:
    """A row of somebody's training file in any of the usual shapes; None when it has no text."""
    if isinstance(row, str):
        row = {"prompt": row}
    if not isinstance(row, dict):
        return None
    turns: list[Any] = next((row[key] for key in ("messages", "conversations") if isinstance(row.get(key), list)), [])
    asked: list[str] = []
    answered: list[str] = []
    for key in ("system", "instruction", "input", "query", "text"):
        asked += _texts(row.get(key))
    for turn in [*turns, *(row["prompt"] if isinstance(row.get("prompt"), list) else [row.get("prompt")])]:
        spoken = isinstance(turn, dict) and (turn.get("role") or turn.get("from")) in ("assistant", "gpt")
        (answered if spoken else asked).extend(_texts(turn))
    for key in ("output", "response", "completion", "chosen", "rejected", "positive", "negative"):
        value = row.get(key)
        for turn in value if isinstance(value, list) else [value]:
            answered += _texts(turn)
    if not asked and not answered:
        return None
    prompt = "\n".join(asked)
    return Sample(digest(prompt, *answered), prompt, "\n".join([*asked, *answered]))


def _texts(value: Any) -> list[str]:
    """The text of a value or of a chat turn, if it has any."""
    if isinstance(value, dict):
        value = value.get("content", value.get("value"))
    return [value] if isinstance(value, str) and value else []
