"""The choices that the pipeline group offers: which rule decides where the paper and its scripts differ."""

from __future__ import annotations

from enum import Enum


class NliJudge(Enum):
    """Who labels (instruction, back-translation): the paper's mDeBERTa, or the supervisor through a prompt."""

    mdeberta = "mdeberta"
    supervisor = "supervisor"


class NliScope(Enum):
    """What a dropped label takes with it: the function that was read back, or its whole instruction."""

    function = "function"
    instruction = "instruction"


class Bound(Enum):
    """Which side of a threshold the threshold itself is on: kept when ``above`` it, or when ``at_least`` it."""

    above = "above"
    at_least = "at_least"


class CaseScope(Enum):
    """The cases that functions are judged on: all that were written, or those that were kept."""

    all = "all"
    kept = "kept"


class Contradiction(Enum):
    """The same input with both outputs among the cases: both stand for the vote to settle, or both are dropped."""

    vote = "vote"
    drop = "drop"


class Counts(Enum):
    """What a function's call on a response counts as when it gave no boolean: nothing, or a failure."""

    left_out = "left_out"
    failed = "failed"


class ComposeJudge(Enum):
    """Who says that constraints go together: execution on the answers at hand alone, or the supervisor as well."""

    execution = "execution"
    supervisor = "supervisor"


class Start(Enum):
    """What synthesis starts from: seed instructions, or a file of the authors' scripts, by its name there."""

    seeds = "seeds"
    eval_func_rft = "eval_func_rft"
    cross_validation = "cross_validation"
    back_trans = "back_trans"
    query_rft = "query_rft"
    query_rft_score = "query_rft_score"
    dpo_query_w_funcs = "dpo_query_w_funcs"
    dpo_query_eval_score_results = "dpo_query_eval_score_results"
    sft = "sft"
    pairs = "pairs"


class QuerySource(Enum):
    """Where user queries come from."""

    shipped = "shipped"
    sharegpt = "sharegpt"


class PromptOrder(Enum):
    """How a training prompt is made: the paper's table 6 puts the instruction first, on a line of its own;
    ``sentences`` is the authors' scripts' way: query, then instruction, both with a capital, on one line. ``varied``
    takes one of the three for each prompt, by its content: users put demands before and behind what they ask for."""

    instruction_first = "instruction_first"
    query_first = "query_first"
    sentences = "sentences"
    varied = "varied"


class SamplingMode(Enum):
    """How often a prompt is answered: always ``respond.samples`` times (the paper's), or until the datasets can use no
    more of its answers."""

    fixed = "fixed"
    adaptive = "adaptive"
