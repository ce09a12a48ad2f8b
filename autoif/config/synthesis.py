"""The pipeline group: synthesis, stage by stage (paper §3.1 and §3.2), and the pairs of §3.3."""

from __future__ import annotations

from dataclasses import dataclass, field

from autoif.config.choices import (
    Bound,
    CaseScope,
    ComposeJudge,
    Contradiction,
    Counts,
    NliJudge,
    NliScope,
    PromptOrder,
    QuerySource,
    SamplingMode,
    Start,
)
from autoif.config.common import NOT_IDENTITY
from autoif.config.contamination import DecontaminationConfig


@dataclass(kw_only=True, slots=True)
class StartConfig:
    """Where synthesis begins. ``path``: the file, unless it begins with the seeds; stages before it are left out.

    ``sft``: with ``kind`` pairs, a file of SFT samples to train on first; null takes the pairs' chosen answers.
    """

    kind: Start = Start.seeds
    path: str | None = field(default=None, metadata=NOT_IDENTITY)
    sft: str | None = field(default=None, metadata=NOT_IDENTITY)


@dataclass(kw_only=True, slots=True)
class SelfInstructConfig:
    """Augment the seeds (paper §3.1: K = 100 rewrites of each).

    ``seeds``: a text file, one instruction a line; null takes the shipped ones. ``per_call``: rewrites asked for in
    one reply. ``limit``: at most so many instructions, seeds first; null for all.
    """

    seeds: str | None = field(default=None, metadata=NOT_IDENTITY)
    rewrites_per_seed: int = 100
    per_call: int = 10
    temperature: float = 1.0
    max_tokens: int = 1024
    limit: int | None = None


@dataclass(kw_only=True, slots=True)
class NearDuplicatesConfig:
    """Drop an instruction that says what an earlier one says, with the same numbers and quoted words.

    ``threshold``: Jaccard similarity of their word ``shingle``-grams from which they are the same, in [0, 1].
    """

    enabled: bool = False
    threshold: float = 0.7
    shingle: int = 1


@dataclass(kw_only=True, slots=True)
class WriteVerifiersConfig:
    """K samples of {function, three cases} for each instruction (K not stated in the paper; upstream's files: 8).

    ``mend``: code that does not parse because JSON read an escape in it as a line break (or the other way round) is
    written as it was meant, in imported replies too. ``examples_as_turns``: five worked examples as turns of a
    conversation instead of one inside the prompt, which small supervisors copy.
    """

    samples: int = 8
    mend: bool = True
    examples_as_turns: bool = False
    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int = 1024


@dataclass(kw_only=True, slots=True)
class CrossVerifyConfig:
    """Keep a case (function) whose accuracy over all functions (cases) exceeds the threshold (paper §3.1).

    ``function_bound``: whether a function at the threshold itself stays. ``judged_on``: the cases that functions are
    judged on. ``min_functions_written`` and ``min_cases_written``: distinct ones needed before the vote, functions that
    do not load left out; ``min_functions`` and ``min_cases``: needed after it.
    Stages with ``enabled`` false are left out of the graph (table 3's ablations).
    """

    enabled: bool = True
    contradictions: Contradiction = Contradiction.vote
    min_functions_written: int = 0
    min_cases_written: int = 0
    case_threshold: float = 0.5
    function_threshold: float = 0.5
    function_bound: Bound = Bound.above
    judged_on: CaseScope = CaseScope.all
    min_functions: int = 1
    min_cases: int = 1


@dataclass(kw_only=True, slots=True)
class MutationCheckConfig:
    """Keep a function only if it refuses a mutation of an answer that it accepts: emptied, shuffled, cut, in capitals.

    ``cases``: positive cases of an instruction that are mutated.
    """

    enabled: bool = False
    cases: int = 3


@dataclass(kw_only=True, slots=True)
class BackTranslateConfig:
    """Read the instruction back out of each function's code.

    ``functions``: only the first so many of an instruction (null: all); the others stay unjudged. ``together``: in one
    prompt and one reply, as the authors' scripts do, in place of a call each.
    """

    enabled: bool = True
    functions: int | None = None
    together: bool = False
    temperature: float = 0.0
    max_tokens: int = 256


@dataclass(kw_only=True, slots=True)
class NliConfig:
    """Drop an instruction when a back-translation contradicts it (paper §3.1), or with ``scope`` function that function
    alone; an instruction without a function left goes in any case."""

    scope: NliScope = NliScope.instruction
    judge: NliJudge = NliJudge.mdeberta
    model: str = "MoritzLaurer/mDeBERTa-v3-base-xnli-multilingual-nli-2mil7"
    drop: list[str] = field(default_factory=lambda: ["contradiction"])
    max_tokens: int = 64


@dataclass(kw_only=True, slots=True)
class QueriesConfig:
    """Attach real user queries (paper §3.2: 16 for each instruction).

    ``path``: the ShareGPT dump (raw JSON list, JSONL, or ``messages`` rows) when ``source`` is sharegpt.
    ``languages``: ISO 639-1 codes of the languages to keep; empty for all.
    ``heldout``: queries set aside before anything is drawn, never trained on, for the held-out evaluation.
    """

    source: QuerySource = QuerySource.sharegpt
    path: str | None = field(default=None, metadata=NOT_IDENTITY)
    per_instruction: int = 16
    min_chars: int = 20
    max_chars: int = 300
    languages: list[str] = field(default_factory=list)
    heldout: int = 200
    order: PromptOrder = PromptOrder.instruction_first


@dataclass(kw_only=True, slots=True)
class RespondConfig:
    """K responses for each (instruction, query) (paper §3.2: K = 8).

    ``max_words``: ask for short answers (unless the instruction says otherwise); null, as in the paper, asks nothing.
    """

    samples: int = 8
    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int = 1024
    max_words: int | None = None


@dataclass(kw_only=True, slots=True)
class VerifyResponsesConfig:
    """Keep a response whose accuracy over the instruction's functions exceeds the threshold (paper §3.2).

    ``crashes``: what a crash, a time-out or exhausted memory counts as; ``none``: what a function's None counts as.
    """

    threshold: float = 0.5
    crashes: Counts = Counts.left_out
    none: Counts = Counts.failed


@dataclass(kw_only=True, slots=True)
class CheckFunctionsConfig:
    """Drop functions that the real responses speak against, before they judge those responses.

    A function that says the same of all cases and of at least ``min_responses`` responses goes. So does, of an
    instruction's functions, the one that agrees least with the others, while its mean agreement, in [0, 1], is below
    ``agreement``.
    """

    enabled: bool = False
    agreement: float = 0.6
    min_responses: int = 4


@dataclass(kw_only=True, slots=True)
class ComposeConfig:
    """Prompts of several verified instructions (the paper's future work): all their functions must pass.

    ``constraints``: instructions of a prompt, 1 to 5. ``each_level``: prompts of 1 to so many in place of exactly so
    many. ``attempts``: partners tried for each further constraint before an instruction is given up.
    """

    constraints: int = 1
    each_level: bool = False
    attempts: int = 4
    judge: ComposeJudge = ComposeJudge.supervisor
    max_tokens: int = 512


@dataclass(kw_only=True, slots=True)
class ScoreConfig:
    """Keep a response the supervisor scores at least ``threshold`` of 10 for answering the query (paper §3.2).

    ``bound``: whether the threshold itself is enough. ``lowest``: where the scale begins, 1 or 0. ``samples``: scores
    asked for, of which the mean counts (more than one needs a ``temperature``).
    ``margin``: adaptive sampling wants so many times the positives that the datasets use, for some will score too low.
    """

    enabled: bool = True
    threshold: float = 8.0
    bound: Bound = Bound.at_least
    lowest: int = 1
    samples: int = 1
    temperature: float = 0.0
    max_tokens: int = 256
    margin: float = field(default=1.5, metadata=NOT_IDENTITY)


@dataclass(kw_only=True, slots=True)
class SftDatasetConfig:
    """Which kept responses become SFT samples: at most ``per_prompt`` of each prompt; null for all."""

    per_prompt: int | None = None
    fraction: float = 1.0


@dataclass(kw_only=True, slots=True)
class PreferenceConfig:
    """Pairs (paper §3.3): chosen has accuracy above ``chosen_threshold``, rejected has accuracy 0.

    ``chosen_bound``: whether the threshold itself is enough.
    ``max_chosen`` × ``max_rejected`` bound the pairs of one prompt (upstream: 2 × 2).
    ``match_length``: pair answers of like length, so that what is learnt is not to be brief.
    """

    chosen_threshold: float = 0.5
    chosen_bound: Bound = Bound.above
    max_chosen: int = 2
    max_rejected: int = 2
    match_length: bool = False
    instruction_level: bool = True
    fraction: float = 1.0


@dataclass(kw_only=True, slots=True)
class PipelineConfig:
    """Synthesis, stage by stage, in the order of the paper's figure 2; ``sampling`` is about its responses.

    ``seed``: of the data, null for the run's. Set, runs of several seeds learn from the same data.
    """

    name: str = "???"
    seed: int | None = None
    sampling: SamplingMode = SamplingMode.fixed
    start: StartConfig = field(default_factory=StartConfig)
    self_instruct: SelfInstructConfig = field(default_factory=SelfInstructConfig)
    near_duplicates: NearDuplicatesConfig = field(default_factory=NearDuplicatesConfig)
    write_verifiers: WriteVerifiersConfig = field(default_factory=WriteVerifiersConfig)
    cross_verify: CrossVerifyConfig = field(default_factory=CrossVerifyConfig)
    mutation_check: MutationCheckConfig = field(default_factory=MutationCheckConfig)
    back_translate: BackTranslateConfig = field(default_factory=BackTranslateConfig)
    nli: NliConfig = field(default_factory=NliConfig)
    compose: ComposeConfig = field(default_factory=ComposeConfig)
    queries: QueriesConfig = field(default_factory=QueriesConfig)
    contamination: DecontaminationConfig = field(default_factory=DecontaminationConfig)
    respond: RespondConfig = field(default_factory=RespondConfig)
    check_functions: CheckFunctionsConfig = field(default_factory=CheckFunctionsConfig)
    verify_responses: VerifyResponsesConfig = field(default_factory=VerifyResponsesConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    sft_dataset: SftDatasetConfig = field(default_factory=SftDatasetConfig)
    preference: PreferenceConfig = field(default_factory=PreferenceConfig)
