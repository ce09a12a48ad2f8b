"""Records as rows of the released scripts' files: what :mod:`autoif.interchange.upstream` reads back.

Texts that only their scripts need (the prompts they sent) are ours, in their place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from autoif.interchange.upstream import Kind
from autoif.records import Answers, Instruction, PreferencePair, Record, SftExample, Verifier
from autoif.synthesis.prompts import render

RECORDS: dict[Kind, type[Record]] = {
    Kind.seed_instruction: Instruction,
    Kind.eval_func_rft: Verifier,
    Kind.cross_validation: Verifier,
    Kind.back_trans: Verifier,
    Kind.query_rft: Answers,
    Kind.query_rft_score: Answers,
    Kind.dpo_query_w_funcs: Answers,
    Kind.dpo_query_eval_score_results: Answers,
    Kind.sft: SftExample,
    Kind.pairs: PreferencePair,
}
"""What each file is made of."""


def rows(kind: Kind, records: Iterable[Any]) -> Iterator[Any]:
    """The rows of a ``kind`` file, one or more a record; a seed file's rows are its lines."""
    match kind:
        case Kind.seed_instruction:
            return (record.text for record in records)
        case Kind.eval_func_rft:
            return map(_replies, records)
        case Kind.cross_validation:
            return map(_verified, records)
        case Kind.back_trans:
            return map(_read_back, records)
        case Kind.query_rft:
            return map(_answered, records)
        case Kind.query_rft_score:
            return (row for record in records for row in _scored(record))
        case Kind.dpo_query_w_funcs:
            return map(_sampled, records)
        case Kind.dpo_query_eval_score_results:
            return (row for record in records if (row := _judged(record))["response"])
        case Kind.sft:
            return map(alpaca, records)
        case Kind.pairs:
            return map(_pair, records)


def _replies(verifier: Verifier) -> dict[str, Any]:
    """One reply a function, with its share of the cases in their order."""
    count = max(1, len(verifier.functions))
    total = len(verifier.cases)
    replies = []
    for i, function in enumerate(verifier.functions):
        cases = verifier.cases[i * total // count : (i + 1) * total // count]
        items = [{"input": case.input, "output": case.expected} for case in cases]
        replies.append(f"```json\n{json.dumps({'func': function.code, 'cases': items}, indent=2)}\n```")
    text = verifier.instruction.text
    return {"prompt": render("write_verifier", instruction=text), "instruction": text, "gpt-answer": replies}


def _verified(verifier: Verifier) -> dict[str, Any]:
    return {
        "instruction": verifier.instruction.text,
        "eval_func": [[function.code, _share(function.accuracy)] for function in verifier.functions],
        "cases": [[case.input, case.expected] for case in verifier.cases],
    }


def _read_back(verifier: Verifier) -> dict[str, Any]:
    """Functions keep their order; where one was not read back, those behind it cannot be told apart and stay out."""
    row = _verified(verifier)
    for name, values in (
        ("back_instruction", [function.back_translation for function in verifier.functions]),
        ("nli_scores", [function.nli for function in verifier.functions]),
    ):
        known = values[: values.index(None)] if None in values else values
        if known or name == "back_instruction":
            row[name] = known
    return row


def _answered(answers: Answers) -> dict[str, Any]:
    prompt = answers.prompt
    asked = f"Answer the query and keep to the instruction.\n[instruction] {prompt.instruction}\n[Query] {prompt.query}"
    return {
        "prompt": asked,
        "instruction": prompt.instruction,
        "cases": [],
        "eval_func": [[function.code, _share(function.accuracy)] for function in prompt.functions],
        "gpt-answer": [response.text for response in answers.responses],
    }


def _scored(answers: Answers) -> Iterator[dict[str, Any]]:
    """Only responses that a judge scored: their file holds no others."""
    prompt = answers.prompt
    for response in answers.responses:
        if response.score is not None:
            about = {"instruction": prompt.instruction, "query": prompt.query, "response": response.text}
            yield about | {"prompt": render("score", **about), "gen": [f"Score: {response.score:g}"]}


def _sampled(answers: Answers) -> dict[str, Any]:
    functions = [[function.code, _share(function.accuracy)] for function in answers.prompt.functions]
    texts = [response.text for response in answers.responses]
    return {"prompt": answers.prompt.text, "eval_func": functions, "gpt-answer": texts}


def _judged(answers: Answers) -> dict[str, Any]:
    """Responses that no function could judge stay out: 0 would call them wrong."""
    judged = [[response.text, response.accuracy] for response in answers.responses if response.accuracy is not None]
    return {"query": answers.prompt.text, "response": judged}


def alpaca(example: SftExample) -> dict[str, Any]:
    """LLaMA-Factory's alpaca row: earlier turns in ``history``, system turns in ``system``."""
    spoken = [message.content for message in example.messages if message.role != "system"]
    *history, asked, output = spoken
    row = {"instruction": asked, "input": "", "output": output}
    if system := "\n".join(message.content for message in example.messages if message.role == "system"):
        row["system"] = system
    return row | {"history": [list(turns) for turns in zip(history[::2], history[1::2], strict=True)]}


def _pair(pair: PreferencePair) -> dict[str, Any]:
    return {"instruction": pair.prompt[-1].content, "positive": pair.chosen, "negative": pair.rejected}


def _share(accuracy: float | None) -> float:
    """Functions of imported or unfiltered verifiers have no accuracy yet; their file has no word for that."""
    return 1.0 if accuracy is None else accuracy
