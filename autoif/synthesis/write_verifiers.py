"""Verification functions and test cases for each instruction (paper §3.1, step 2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from autoif.config import WriteVerifiersConfig
from autoif.generation import Completion, Request, Sampling
from autoif.generation.base import user
from autoif.records import Case, Function, Instruction, Message, Reject, Reply, Verifier, digest
from autoif.stage import Context, Estimate
from autoif.synthesis import parsing
from autoif.synthesis.mending import mend
from autoif.synthesis.prompts import conversation, render

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "func": {"type": "string"},
        "cases": {
            "type": "array",
            "minItems": 3,
            "maxItems": 3,
            "items": {
                "type": "object",
                "properties": {"input": {"type": "string"}, "output": {"type": "boolean"}},
                "required": ["input", "output"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["func", "cases"],
    "additionalProperties": False,
}
"""The reply's contract, for engines that can hold a model to it; others are parsed."""


def write_verifiers(context: Context, instructions: Sequence[Instruction]) -> Iterator[Verifier | Reject]:
    """K samples of {function, three cases} for each instruction, joined; identical ones once."""
    config: WriteVerifiersConfig = context.config
    sampling = Sampling(temperature=config.temperature, top_p=config.top_p, max_tokens=config.max_tokens)
    requests = (
        Request(
            messages=_asked(config, instruction.text),
            sampling=sampling,
            index=index,
            seed=context.seed,
            json_schema=SCHEMA,
        )
        for instruction in instructions
        for index in range(config.samples)
    )
    answers = context.engines.supervisor.generate(requests)
    for instruction in instructions:
        functions: dict[str, Function] = {}
        cases: dict[tuple[str, bool], Case] = {}
        for index in range(config.samples):
            answer = next(answers)
            if not isinstance(answer, Completion):
                yield Reject(Reply(id=instruction.id, index=index, text=answer.detail), answer.reason)
                continue
            parsed = parsing.verifier_reply(answer.text)
            if parsed is None:
                reason = "reply_cut_off" if answer.finish == "length" else "reply_unreadable"
                yield Reject(Reply(id=instruction.id, index=index, text=answer.text), reason)
                continue
            code, examples = parsed
            code = mend(code) if config.mend else code
            functions.setdefault(code, Function(id=digest("function", instruction.id, code), code=code))
            for text, expected in examples:
                cases.setdefault((text, expected), Case(input=text, expected=expected))
        verifier = Verifier(
            id=instruction.id,
            instruction=instruction,
            functions=tuple(functions.values()),
            cases=tuple(cases.values()),
        )
        if not functions:
            yield Reject(verifier, "no_function")
        elif not cases:
            yield Reject(verifier, "no_case")
        else:
            yield verifier


def prompt_name(config: WriteVerifiersConfig) -> str:
    """The template that supervisors are asked with."""
    return "write_verifier_turns" if config.examples_as_turns else "write_verifier"


def _asked(config: WriteVerifiersConfig, instruction: str) -> tuple[Message, ...]:
    name = prompt_name(config)
    if config.examples_as_turns:
        return conversation(name, instruction=instruction)
    return user(render(name, instruction=instruction))


def estimate(config: WriteVerifiersConfig, instructions: int) -> Estimate:
    """K calls an instruction."""
    return Estimate(records=instructions, model_calls=instructions * config.samples)
