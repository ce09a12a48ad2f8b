"""What local engines share: from a conversation to token ids, by the model's own chat template."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoif.errors import EngineError
from autoif.generation.base import Failure, Request


def chat_ids(tokenizer: Any, requests: Sequence[Request], folder: Path) -> list[list[int]]:
    """Token ids of each conversation, up to where the assistant speaks.

    Raises:
        EngineError: when the model in ``folder`` has no chat template.
    """
    if not tokenizer.chat_template:
        raise EngineError(f"the model in {folder} has no chat template: set model.chat_template")
    texts = [
        tokenizer.apply_chat_template(
            [{"role": message.role, "content": message.content} for message in request.messages],
            tokenize=False,
            add_generation_prompt=True,
        )
        for request in requests
    ]
    # The template writes the special tokens.
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return ids


def too_long(prompt: Sequence[int], context: int) -> Failure | None:
    """The failure of a prompt that leaves no room for an answer in ``context`` tokens."""
    if len(prompt) < context:
        return None
    return Failure(reason="context_length", detail=f"prompt of {len(prompt)} tokens, context of {context}")


def turn_ends(tokenizer: Any) -> set[int]:
    """Token ids that end an answer besides the model's own: what its chat template writes after the assistant's turn.

    A base model's end of text is not the end of a turn of the template that it was trained on.
    """
    if not tokenizer.chat_template:
        return set()
    mark = "answer"
    turns = [{"role": "user", "content": "question"}, {"role": "assistant", "content": mark}]
    rest = tokenizer.apply_chat_template(turns, tokenize=False).rpartition(mark)[2]
    ids = tokenizer(rest, add_special_tokens=False)["input_ids"]
    return {int(ids[0])} if ids and ids[0] in tokenizer.added_tokens_decoder else set()
