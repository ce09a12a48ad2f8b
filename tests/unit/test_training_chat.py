"""Chat templates: what is learnt, what is context, and how sequences are cut."""

from __future__ import annotations

import pytest
from training_tiny import CHATML, tiny_tokenizer

from autoif.errors import EngineError
from autoif.records import Message
from autoif.training.chat import Chat, Encoded

LLAMA3 = (
    "{{ '<|endoftext|>' }}{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n\n' + m['content'] | trim "
    "+ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n\n' }}{% endif %}"
)
"""The shape of Llama-3's: BOS in the template, no newline after the end of a turn, content trimmed."""

FORGETFUL = (
    "{% for m in messages %}{{ m['role'] + ':' + ('' if m['role'] == 'assistant' and not loop.last else m['content'])"
    " + '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
"""Empties answers once the conversation goes on, as templates that drop earlier reasoning do."""

_TURN = "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}"
_SYSTEM = "{% if loop.first and m['role'] != 'system' %}{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}"
_ASSISTANT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
DEFAULT_SYSTEM = "{% for m in messages %}" + _SYSTEM + _TURN + "{% endfor %}" + _ASSISTANT
"""The shape of Qwen2's and SmolLM2's: a conversation without a system turn gets one."""

TEMPLATES = [CHATML, LLAMA3, DEFAULT_SYSTEM, None]
"""None: the fallback."""

TALK = (
    Message(role="system", content="S"),
    Message(role="user", content="one"),
    Message(role="assistant", content="first"),
    Message(role="user", content="two"),
    Message(role="assistant", content="second"),
)

YES_NO = [("yes", True), ("no", True)]


def learnt(chat: Chat, row: Encoded | None) -> str:
    assert row is not None
    return chat.tokenizer.decode([t for t, label in zip(row.tokens, row.labels, strict=True) if label])


@pytest.mark.parametrize("messages", [TALK, TALK[1:]], ids=["system", "no system"])
@pytest.mark.parametrize("template", TEMPLATES)
def test_every_answer_and_its_end_of_turn_is_learnt_and_nothing_else(
    template: str | None, messages: tuple[Message, ...]
) -> None:
    chat = Chat(tiny_tokenizer(template))
    row = chat.conversation(messages, 500)
    assert learnt(chat, row) == "first<|im_end|>second<|im_end|>"


@pytest.mark.parametrize("template", TEMPLATES)
def test_tokens_are_those_of_the_rendered_conversation_up_to_the_last_end_of_turn(template: str | None) -> None:
    chat = Chat(tiny_tokenizer(template))
    row = chat.conversation(TALK, 500)
    assert row is not None
    text = chat.render(TALK)
    assert chat.tokenizer.decode(row.tokens) == text[: text.rindex("<|im_end|>") + len("<|im_end|>")]


def test_a_template_that_writes_bos_gets_no_second_one() -> None:
    chat = Chat(tiny_tokenizer(LLAMA3))
    chat.tokenizer.bos_token = "<|endoftext|>"
    row = chat.conversation(TALK, 500)
    assert row is not None
    assert list(row.tokens).count(chat.tokenizer.bos_token_id) == 1


def test_the_end_of_turn_is_learnt_even_where_padding_is_the_same_token() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = "<|im_end|>"
    chat = Chat(tokenizer)
    assert learnt(chat, chat.conversation(TALK[1:3], 500)) == "first<|im_end|>"


def test_a_base_models_eos_differs_from_the_templates_end_of_turn_and_both_end_generation() -> None:
    tokenizer = tiny_tokenizer(eos="<|endoftext|>")
    chat = Chat(tokenizer)
    assert chat.ends == {tokenizer.convert_tokens_to_ids("<|im_end|>"), tokenizer.eos_token_id}
    assert learnt(chat, chat.conversation(TALK[1:3], 500)) == "first<|im_end|>"


def test_a_model_without_a_template_gets_the_fallback_which_ends_answers_with_eos() -> None:
    chat = Chat(tiny_tokenizer(None))
    assert learnt(chat, chat.conversation(TALK, 500)) == "first<|im_end|>second<|im_end|>"


def test_a_turn_that_the_template_rewrites_later_is_context_only() -> None:
    chat = Chat(tiny_tokenizer(FORGETFUL))
    assert learnt(chat, chat.conversation(TALK, 500)) == "second<|im_end|>"


def test_a_template_that_rewrites_the_last_prompt_is_refused() -> None:
    chat = Chat(tiny_tokenizer("{{ messages | length }}{{ messages[-1]['content'] }}"))
    with pytest.raises(EngineError, match=r"model\.chat_template"):
        chat.conversation(TALK, 500)


def test_truncation_keeps_the_beginning_and_drops_what_has_no_answer_left() -> None:
    chat = Chat(tiny_tokenizer())
    whole = chat.conversation(TALK[1:3], 500)
    assert whole is not None
    cut = chat.conversation(TALK[1:3], len(whole.tokens) - 3)
    assert cut is not None
    assert list(cut.tokens) == list(whole.tokens[:-3])
    assert learnt(chat, cut) == "fir"
    assert chat.conversation(TALK[1:3], 10) is None


def test_pairs_share_the_prompt_and_both_answers_end_their_turn() -> None:
    chat = Chat(tiny_tokenizer())
    pair = chat.answers(TALK[1:2], YES_NO, 500)
    assert pair is not None
    assert chat.tokenizer.decode(pair.prompt) == chat.render(TALK[1:2], prompt=True)
    assert chat.tokenizer.decode(pair.answers[0]) == "yes<|im_end|>"
    assert chat.tokenizer.decode(pair.answers[1]) == "no<|im_end|>"


def test_pairs_keep_the_prompt_whole_and_are_dropped_when_it_leaves_no_room() -> None:
    chat = Chat(tiny_tokenizer())
    pair = chat.answers(TALK[1:2], YES_NO, 500)
    assert pair is not None
    cut = chat.answers(TALK[1:2], YES_NO, len(pair.prompt) + 2)
    assert cut is not None
    assert chat.tokenizer.decode(cut.answers[0]) == "ye"
    assert chat.answers(TALK[1:2], YES_NO, len(pair.prompt)) is None


@pytest.mark.parametrize("template", [CHATML, LLAMA3])
def test_an_answer_that_the_token_limit_cut_off_has_no_end_of_turn_to_learn(template: str) -> None:
    chat = Chat(tiny_tokenizer(template))
    row = chat.answers(TALK[1:2], [("whole", True), ("cut", False), ("", False)], 500)
    assert row is not None
    assert [chat.tokenizer.decode(answer) for answer in row.answers] == ["whole<|im_end|>", "cut", ""]
