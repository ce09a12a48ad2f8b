"""The file formats of the authors' released scripts, read into records and written from them.

Each kind is one file of theirs and the records that one stage here makes. Reading keeps what a file says and decides
nothing: thresholds are the pipeline's. Rows stream; a row that cannot be used is a :class:`Reject` with its reason.

============================  ==========================================================  =======================
kind                          row                                                         records, as made by
============================  ==========================================================  =======================
seed_instruction              one instruction a line                                      Instruction (seeds)
eval_func_rft                 instruction, gpt-answer: K raw replies                      Verifier, write_verifiers
cross_validation              instruction, eval_func, cases                               Verifier, cross_verify
back_trans                    … and back_instruction (and nli_scores)                     Verifier, back_translate
query_rft                     … and prompt, gpt-answer: K responses                       Answers, respond
query_rft_score               instruction, query, response, gen: raw judge replies        Answers, score
dpo_query_w_funcs             prompt, eval_func, gpt-answer                               Answers, respond
dpo_query_eval_score_results  query, response: [text, accuracy]                           Answers, verify_responses
sft                           LLaMA-Factory's alpaca list                                 SftExample, sft_dataset
pairs                         instruction, positive, negative                             PreferencePair
============================  ==========================================================  =======================
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

from autoif import jsonrows
from autoif.config import PromptOrder
from autoif.records import (
    Answers,
    Case,
    Function,
    Instruction,
    Message,
    PreferencePair,
    Prompt,
    Record,
    Reject,
    Response,
    SftExample,
    Verifier,
    digest,
    unicode,
)
from autoif.synthesis import parsing
from autoif.synthesis.attach_queries import join
from autoif.synthesis.mending import mend
from autoif.synthesis.self_instruct import read_seeds


class Kind(Enum):
    """A file of the released scripts, by its name there (``sft`` and ``pairs`` are their two results)."""

    seed_instruction = "seed_instruction"
    eval_func_rft = "eval_func_rft"
    cross_validation = "cross_validation"
    back_trans = "back_trans"
    query_rft = "query_rft"
    query_rft_score = "query_rft_score"
    dpo_query_w_funcs = "dpo_query_w_funcs"
    dpo_query_eval_score_results = "dpo_query_eval_score_results"
    sft = "sft"
    pairs = "pairs"


Row = Mapping[str, Any]

_QUERY = re.compile(r"\[Query\](.*)\Z", re.DOTALL | re.IGNORECASE)


def read(
    kind: Kind, path: Path, order: PromptOrder = PromptOrder.instruction_first, mended: bool = True
) -> Iterator[Record | Reject]:
    """The records of a file of the released scripts, in its order.

    ``order``: how prompts are joined for training. ``mended``: code in raw replies that JSON distorted is mended.

    Raises:
        DataError: when the file is missing, empty or no JSON list or JSONL.
    """
    if kind is Kind.seed_instruction:
        return (instruction(text) for text in read_seeds(path))
    rows = enumerate(jsonrows.read_rows(path, f"{kind.value} file"))
    if kind is Kind.query_rft_score:
        return _scored(rows, order)
    if kind is Kind.query_rft:
        return _each(rows, partial(_answered, order=order))
    if kind is Kind.eval_func_rft:
        return _each(rows, partial(_replies, mended=mended))
    return _each(rows, _READERS[kind])


def _each(rows: Iterable[tuple[int, Any]], reader: Callable[[Row], Record]) -> Iterator[Record | Reject]:
    for number, row in rows:
        yield row if isinstance(row, Reject) else _guarded(row, number, reader)


def _guarded(row: Any, number: int, reader: Callable[[Row], Record]) -> Record | Reject:
    """What ``reader`` makes of a row; a row of another shape is rejected with what is wrong with it."""
    try:
        return reader(row)
    except KeyError as error:
        return jsonrows.reject(json.dumps(row), number, "malformed_row", f"no {error.args[0]}")
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        return jsonrows.reject(json.dumps(row), number, "malformed_row", str(error))


def instruction(text: str) -> Instruction:
    """An instruction with the id that the pipeline gives this text."""
    return Instruction(id=digest("instruction", text), text=text, origin="seed")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text expected, not {type(value).__name__}")
    return unicode(value)


def _functions(
    owner: str, pairs: Iterable[Any], readings: Iterable[Any] = (), labels: Iterable[Any] = ()
) -> tuple[Function, ...]:
    """``[[code, accuracy], …]``, or code alone, with the back-translations and NLI labels of the first few."""
    readings, labels = list(readings), list(labels)
    functions = []
    for i, pair in enumerate(pairs):
        code, accuracy = (pair, None) if isinstance(pair, str) else pair
        text = _text(code)
        functions.append(
            Function(
                id=digest("function", owner, text),
                code=text,
                accuracy=None if accuracy is None else float(accuracy),
                back_translation=_text(readings[i]) if i < len(readings) else None,
                nli=_text(labels[i]).lower() if i < len(labels) else None,
            )
        )
    return tuple(functions)


def _cases(pairs: Iterable[Any]) -> tuple[Case, ...]:
    """``[[input, expected], …]``; an expected output that is no boolean in any spelling leaves its case out."""
    read = ((_text(text), parsing.boolean(expected)) for text, expected in pairs)
    return tuple(Case(input=text, expected=expected) for text, expected in read if expected is not None)


def _verifier(row: Row) -> Verifier:
    """cross_validation and back_trans. Only the first three functions were read back there."""
    about = instruction(_text(row["instruction"]))
    functions = _functions(about.id, row["eval_func"], row.get("back_instruction") or (), row.get("nli_scores") or ())
    return Verifier(id=about.id, instruction=about, functions=functions, cases=_cases(row.get("cases") or ()))


def _replies(row: Row, mended: bool) -> Verifier:
    """eval_func_rft: the replies are parsed as the model's own are; identical functions and cases count once."""
    about = instruction(_text(row["instruction"]))
    functions: dict[str, Function] = {}
    cases: dict[tuple[str, bool], Case] = {}
    for reply in row["gpt-answer"]:
        code, examples = parsing.verifier_reply(_text(reply)) or ("", [])
        code = mend(code) if mended else code
        if code:
            functions.setdefault(code, Function(id=digest("function", about.id, code), code=code))
        for text, expected in examples:
            cases.setdefault((text, expected), Case(input=text, expected=expected))
    if not functions or not cases:
        raise ValueError("no reply holds a function and a case")
    return Verifier(id=about.id, instruction=about, functions=tuple(functions.values()), cases=tuple(cases.values()))


def _prompt(about: str, query: str, text: str, functions: tuple[Function, ...] = ()) -> Prompt:
    """A prompt with the ids that the pipeline gives it; without an instruction its functions stand for one."""
    owner = digest("instruction", about) if about else digest("functions", *(f.code for f in functions))
    return Prompt(
        id=digest("prompt", owner, digest("query", query)),
        verifier_id=owner,
        instruction=about,
        query=query,
        text=text,
        functions=functions,
    )


def _answered(row: Row, order: PromptOrder) -> Answers:
    """query_rft: the query stands in the prompt, behind its mark."""
    about = _text(row["instruction"])
    found = _QUERY.search(_text(row["prompt"]))
    if found is None:
        raise ValueError("the prompt holds no [Query]")
    query = unicode(found[1]).strip()
    functions = _functions(digest("instruction", about), row["eval_func"])
    return _answers(_prompt(about, query, join(about, query, order), functions), row["gpt-answer"])


def _sampled(row: Row) -> Answers:
    """dpo_query_w_funcs: the prompt is whole; where the instruction ends in it is not said."""
    text = _text(row["prompt"])
    return _answers(_prompt("", text, text, _functions(digest("prompt", text), row["eval_func"])), row["gpt-answer"])


def _answers(prompt: Prompt, texts: Iterable[Any]) -> Answers:
    responses = tuple(
        Response(index=index, text=_text(text).strip(), dropped=None if text.strip() else "empty")
        for index, text in enumerate(texts)
    )
    return Answers(id=prompt.id, prompt=prompt, responses=responses)


def _judged(row: Row) -> Answers:
    """dpo_query_eval_score_results. An accuracy of 0 may mean there that every function crashed; functions are not in
    this file, so to tell the two apart read ``dpo_query_w_funcs`` and let the pipeline run them."""
    text = _text(row["query"])
    responses = tuple(
        Response(index=index, text=_text(answer).strip(), accuracy=float(accuracy))
        for index, (answer, accuracy) in enumerate(row["response"])
    )
    prompt = _prompt("", text, text)
    return Answers(id=prompt.id, prompt=prompt, responses=responses)


def _scored(rows: Iterable[tuple[int, Any]], order: PromptOrder) -> Iterator[Record | Reject]:
    """query_rft_score: one response a row; neighbours of the same instruction and query are one prompt's.

    The score is the mean over the judge's replies that hold one. The file only holds responses that the functions
    passed, without saying how clearly: their accuracy stays unknown.
    """
    parsed = _each(rows, partial(_one_score, order=order))

    def prompt_of(item: Record | Reject) -> str:
        return item.id if isinstance(item, Answers) else ""

    for key, group in groupby(parsed, prompt_of):
        if not key:
            yield from group
            continue
        found = [item for item in group if isinstance(item, Answers)]
        numbered = enumerate(item.responses[0] for item in found)
        responses = (Response(index=i, text=r.text, score=r.score, dropped=r.dropped) for i, r in numbered)
        yield Answers(id=key, prompt=found[0].prompt, responses=tuple(responses))


def _one_score(row: Row, order: PromptOrder) -> Answers:
    about, query = _text(row["instruction"]), _text(row["query"])
    scores = [value for reply in row["gen"] if (value := parsing.score(_text(reply))) is not None]
    response = Response(
        index=0,
        text=_text(row["response"]).strip(),
        score=fmean(scores) if scores else None,
        dropped=None if scores else "score_unreadable",
    )
    prompt = _prompt(about, query, join(about, query, order))
    return Answers(id=prompt.id, prompt=prompt, responses=(response,))


def _example(row: Row) -> SftExample:
    """sft: ``input`` is a line behind ``instruction``, ``history`` holds earlier [user, assistant] turns."""
    turns = [_text(turn) for pair in row.get("history") or () for turn in pair]
    asked = "\n".join(part for part in (_text(row["instruction"]), _text(row.get("input") or "")) if part)
    roles = ("user", "assistant")
    messages = [Message(role=roles[i % 2], content=t) for i, t in enumerate([*turns, asked, _text(row["output"])])]
    identity = digest("sft", *(message.content for message in messages))
    return SftExample(id=identity, messages=tuple(messages), instruction="", functions=(), accuracy=0.0)


def _pair(row: Row) -> PreferencePair:
    prompt, chosen, rejected = (_text(row[name]) for name in ("instruction", "positive", "negative"))
    return PreferencePair(
        id=digest("pair", "query", prompt, chosen, rejected),
        prompt=(Message(role="user", content=prompt),),
        chosen=chosen,
        rejected=rejected,
        level="query",
        chosen_accuracy=1.0,
        rejected_accuracy=0.0,
    )


_READERS: dict[Kind, Callable[[Row], Record]] = {
    Kind.cross_validation: _verifier,
    Kind.back_trans: _verifier,
    Kind.dpo_query_w_funcs: _sampled,
    Kind.dpo_query_eval_score_results: _judged,
    Kind.sft: _example,
    Kind.pairs: _pair,
}
