"""Conversations to tokens: chat templates, the response-only mask, and the truncation rule.

A conversation is rendered with the tokenizer's chat template and cut where an assistant turn begins and ends, so
prompts are tokenised exactly as at inference and each turn's end-of-turn token is learnt. Templates write their own
BOS, so no special tokens are added again.

Truncation: a sequence keeps its first ``max_length`` tokens; what then has no response token left is dropped and
counted. A truncated answer ends without its end-of-turn token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoif.errors import EngineError
from autoif.records import Message

FALLBACK_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
"""For base models without a template: role headers in plain text, the tokenizer's EOS after each answer."""


_PROBE = "probe"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A tokenised conversation. ``labels[i]`` says whether token i is learnt; both have the same length."""

    tokens: Sequence[int]
    labels: Sequence[bool | int]


@dataclass(frozen=True, slots=True)
class EncodedAnswers:
    """A tokenised prompt and answers to it (a pair: chosen, rejected), each with its end-of-turn token."""

    prompt: Sequence[int]
    answers: tuple[Sequence[int], ...]


class Chat:
    """A tokenizer with its chat template and the ids that end a turn."""

    def __init__(self, tokenizer: Any, ends: Sequence[int] = ()) -> None:
        self.tokenizer = tokenizer
        if not tokenizer.chat_template:
            tokenizer.chat_template = FALLBACK_TEMPLATE
        self.ends = frozenset(ends) | ({tokenizer.eos_token_id} - {None}) | self._end_of_turn()
        if not self.ends:
            raise EngineError("the tokenizer names no EOS token: set eos_token in its tokenizer_config.json")

    def _end_of_turn(self) -> frozenset[int]:
        """The special token that the template itself writes right after an answer, if it does: a base model's EOS is
        often another one."""
        text = self.render([Message(role="user", content="x"), Message(role="assistant", content=_PROBE)])
        after = self._tokens(text.rpartition(_PROBE)[2])[:1]
        special = set(self.tokenizer.all_special_ids) | {
            index for index, token in self.tokenizer.added_tokens_decoder.items() if token.special
        }
        return frozenset(token for token in after if token in special)

    def render(self, messages: Sequence[Message], prompt: bool = False) -> str:
        """The conversation as text; ``prompt`` adds what an assistant turn begins with."""
        rows = [{"role": m.role, "content": m.content} for m in messages]
        return str(self.tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=prompt))

    def conversation(self, messages: Sequence[Message], max_length: int) -> Encoded | None:
        """Tokens and response mask of a conversation, or None when truncation leaves nothing to learn.

        Every assistant turn is learnt, its end-of-turn token included. A turn that the template renders differently
        once the conversation goes on (some drop earlier reasoning) is context only.

        Raises:
            EngineError: when the template rewrites even the last turn's prompt.
        """
        full = self.render(messages)
        tokens: list[int] = []
        labels: list[bool] = []
        at = 0
        last = max((i for i, m in enumerate(messages) if m.role == "assistant"), default=-1)
        for index, message in enumerate(messages[: last + 1]):
            if message.role != "assistant":
                continue
            prefix = self.render(messages[:index], prompt=True)
            upto = self.render(messages[: index + 1])
            if not (full.startswith(prefix) and full.startswith(upto) and len(prefix) >= at):
                if index == last:
                    raise EngineError(
                        "the chat template does not keep a conversation's beginning when an answer is added: "
                        "set model.chat_template to one that does"
                    )
                continue
            context, answer, rest = self._tokens(full[at : len(prefix)]), *self._answer(upto[len(prefix) :])
            tokens += context + answer + rest
            labels += [False] * len(context) + [True] * len(answer) + [False] * len(rest)
            at = len(upto)
        tokens, labels = tokens[:max_length], labels[:max_length]
        while labels and not labels[-1]:  # nothing is learnt from what follows the last label
            tokens.pop()
            labels.pop()
        return Encoded(tokens, labels) if any(labels[1:]) else None

    def answers(
        self, prompt: Sequence[Message], texts: Sequence[tuple[str, bool]], max_length: int
    ) -> EncodedAnswers | None:
        """Tokens of a prompt and its answers, or None when the prompt leaves no room for any.

        The prompt is kept whole (it is shared); each answer is cut at ``max_length`` − prompt tokens. ``texts``: each
        answer and whether it is whole; one that was cut off when it was sampled gets no end-of-turn token.
        """
        head = self.render(prompt, prompt=True)
        tokens = self._tokens(head)
        room = max_length - len(tokens)
        if room < 1:
            return None
        answers = []
        for text, whole in texts:
            full = self.render([*prompt, Message(role="assistant", content=text)])
            if not full.startswith(head):
                raise EngineError(
                    "the chat template does not keep the prompt when an answer is added: set model.chat_template"
                )
            answer = self._answer(full[len(head) :])[0]
            answers.append(answer[: room if whole else min(room, len(answer) - 1)])
        return EncodedAnswers(tokens, tuple(answers))

    def _tokens(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _answer(self, text: str) -> tuple[list[int], list[int]]:
        """Tokens of an assistant turn up to and including its last end-of-turn token, and what the template adds
        after it. A template that writes no such token gets the tokenizer's EOS."""
        tokens = self._tokens(text)
        for index in range(len(tokens) - 1, -1, -1):
            if tokens[index] in self.ends:
                return tokens[: index + 1], tokens[index + 1 :]
        end = self.tokenizer.eos_token_id
        return [*tokens, end if end is not None else min(self.ends)], []


def load_chat(folder: Path) -> Chat:
    """The tokenizer of a model folder, its template, and the EOS ids of its generation settings.

    Raises:
        EngineError: when the folder holds no tokenizer.
    """
    from transformers import AutoTokenizer, GenerationConfig

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise EngineError(f"{folder} holds no tokenizer that transformers can load ({error})") from None
    ends: Any = None
    if (folder / "generation_config.json").exists():
        ends = GenerationConfig.from_pretrained(folder).eos_token_id
    return Chat(tokenizer, [ends] if isinstance(ends, int) else (ends or ()))
