"""Checks that types cannot make: ranges, and values that contradict each other. Nothing here looks at the machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlparse

from autoif.config import (
    Accelerator,
    AlgorithmConfig,
    BenchmarkConfig,
    ExperimentConfig,
    GrpoAlgorithm,
    HardwareConfig,
    Launch,
    LocalSupervisor,
    NoTraining,
    OfflineDpoAlgorithm,
    OnlineAlgorithm,
    OnlineDpoAlgorithm,
    OpenAISupervisor,
    PipelineConfig,
    Precision,
    QuerySource,
    RunConfig,
    SamplingMode,
    Setting,
    Start,
    Strategy,
    Task,
    TrainingConfig,
)
from autoif.errors import ConfigError
from autoif.ranges import out_of_range
from autoif.synthesis.language import LANGUAGES
from autoif.tracking import MODES
from autoif.training.plan import micro_batch_rows
from evaluation.registry import chosen

SFT = "algorithm.sft"
_LABELS = {"entailment", "neutral", "contradiction"}
_ATTENTION = {"sdpa", "eager", "flash_attention_2"}
_SHARDED = {Strategy.zero1, Strategy.zero2, Strategy.zero3}
_NAME = re.compile(r"[\w.,=+-]+(/[\w.,=+-]+)*")


def check(config: RunConfig) -> None:
    """Raise :class:`ConfigError` with everything that is wrong in ``config``, in one line."""
    if problems := list(_problems(config)):
        raise ConfigError("; ".join(problems))


def _problems(config: RunConfig) -> Iterator[str]:
    ranges = list(out_of_range(config))
    yield from ranges
    if ranges:  # what follows computes with these numbers
        return
    if not _NAME.fullmatch(config.name) or ".." in config.name.split("/"):
        yield f"name={config.name!r} names a folder under paths.runs: use letters, digits and . , = + - _ /"
    yield from _experiment(config.experiment)
    if config.task.kind is Task.run and (config.task.source or config.task.source_kind):
        yield "source= and kind= are for task=import; a run starts from a file with pipeline.start.kind and .path"
    yield from _setting(config)
    yield from _addresses(config)
    yield from _pipeline(config)
    yield from _hardware(config.hardware)
    yield from _algorithm(config.algorithm)
    for path, training in trainings(config):
        answers = config.algorithm.samples if isinstance(config.algorithm, GrpoAlgorithm) and path != SFT else 1
        yield from _batch(path, training, config.hardware, micro_batch_rows(config.hardware.micro_batch_size, answers))
    yield from _lengths(config)
    yield from _contamination(config)
    if config.launch is not Launch.none and config.task.kind is not Task.plan:
        yield f"launch={config.launch.value} belongs to task=plan"
    if (config.evaluation.responses or config.evaluation.judgments) and config.task.kind is Task.run:
        yield "evaluation.responses and evaluation.judgments score existing files: add task=evaluate"
    if config.tracking.mode not in MODES:
        yield f"tracking.mode={config.tracking.mode!r}: expected one of {', '.join(MODES)}"


def _algorithm(algorithm: AlgorithmConfig) -> Iterator[str]:
    if isinstance(algorithm, GrpoAlgorithm) and algorithm.samples < 2:
        yield f"algorithm.samples={algorithm.samples}: GRPO compares the answers to a prompt with each other, sample 2"


def trainings(config: RunConfig) -> Iterator[tuple[str, TrainingConfig]]:
    """The training stages' settings with their dotted paths."""
    if isinstance(config.algorithm, NoTraining):
        return
    yield SFT, config.algorithm.sft
    match config.algorithm:
        case OfflineDpoAlgorithm(dpo=dpo) | OnlineDpoAlgorithm(dpo=dpo):
            yield "algorithm.dpo", dpo
        case GrpoAlgorithm(grpo=grpo):
            yield "algorithm.grpo", grpo


def _experiment(experiment: ExperimentConfig) -> Iterator[str]:
    if experiment.point is not None and experiment.point not in experiment.points:
        yield f"experiment.point={experiment.point}: no such point; choose an experiment that has it (experiment=…)"
    if experiment.scale and not experiment.points:
        yield f"scale={experiment.scale} is for experiments: add experiment=…"


def _setting(config: RunConfig) -> Iterator[str]:
    if config.setting.kind is not Setting.self_alignment:
        return
    supervisor = config.supervisor
    answers = supervisor.source.path if isinstance(supervisor, LocalSupervisor) else supervisor.model
    if answers != config.model.path:
        yield (
            f"setting=self_alignment needs supervisor = model, but {answers or 'a recording'} would supervise "
            f"{config.model.path}: add supervisor=self, or a server with supervisor.model={config.model.path}"
        )


def _addresses(config: RunConfig) -> Iterator[str]:
    """An address is written to reports; a key never is."""
    if isinstance(config.supervisor, OpenAISupervisor):
        urls = {"base_url": [config.supervisor.base_url or ""], "base_urls": config.supervisor.base_urls}
        for name in (name for name, found in urls.items() if any("@" in urlparse(url).netloc for url in found)):
            yield (
                f"supervisor.{name} holds a name or password before its @: take it out, and put the key into the "
                f"environment variable {config.supervisor.api_key_env} (supervisor.api_key_env)"
            )


def _pipeline(config: RunConfig) -> Iterator[str]:
    pipeline = config.pipeline
    if pipeline.cross_verify.min_functions > pipeline.write_verifiers.samples:
        yield (
            f"pipeline.cross_verify.min_functions={pipeline.cross_verify.min_functions} can never be met with "
            f"pipeline.write_verifiers.samples={pipeline.write_verifiers.samples}"
        )
    if unknown := set(pipeline.nli.drop) - _LABELS:
        yield f"pipeline.nli.drop: no label {', '.join(sorted(unknown))}; expected some of {', '.join(sorted(_LABELS))}"
    yield from _decisions(pipeline)
    start = pipeline.start
    if start.sft is not None and start.kind is not Start.pairs:
        yield f"pipeline.start.sft goes with pipeline.start.kind=pairs, not {start.kind.value}"
    if (start.kind is Start.seeds) != (start.path is None):
        yield (
            f"pipeline.start.kind={start.kind.value} and pipeline.start.path={start.path}: "
            "to start from a file of the authors' scripts give both, else neither"
        )
    if pipeline.sampling is SamplingMode.adaptive and pipeline.sft_dataset.per_prompt is None:
        yield (
            "pipeline.sampling=adaptive stops when the datasets have enough, and pipeline.sft_dataset.per_prompt=null "
            "is never enough: set it to how many answers of a prompt are trained on"
        )
    queries = pipeline.queries
    if queries.min_chars >= queries.max_chars:
        yield f"pipeline.queries: min_chars={queries.min_chars} must be below max_chars={queries.max_chars}"
    if queries.source is QuerySource.shipped and queries.path is not None:
        yield "pipeline.queries.path is set but not read: add pipeline.queries.source=sharegpt"
    if config.evaluation.heldout.limit and not queries.heldout:
        yield "evaluation.heldout needs queries set aside: set pipeline.queries.heldout, or evaluation.heldout.limit=0"


def _contamination(config: RunConfig) -> Iterator[str]:
    from evaluation.contamination_sets import check_names

    named = {
        "evaluation.contamination.benchmarks": config.evaluation.contamination.benchmarks,
        "pipeline.contamination.benchmarks": config.pipeline.contamination.benchmarks,
    }
    yield from (problem for setting, names in named.items() if (problem := check_names(names, setting)))
    if config.pipeline.contamination.drop and not config.pipeline.contamination.benchmarks:
        yield "pipeline.contamination.drop=true drops nothing without pipeline.contamination.benchmarks: name some"


def _decisions(pipeline: PipelineConfig) -> Iterator[str]:
    written, votes = pipeline.write_verifiers.samples, pipeline.cross_verify
    if votes.min_functions_written > written:
        yield (
            f"pipeline.cross_verify.min_functions_written={votes.min_functions_written} can never be met with "
            f"pipeline.write_verifiers.samples={written}"
        )
    if pipeline.score.samples > 1 and pipeline.score.temperature == 0:
        again = f"pipeline.score.samples={pipeline.score.samples} are all the same"
        yield f"{again}: set pipeline.score.temperature above 0"
    if unknown := set(pipeline.queries.languages) - LANGUAGES:
        known = ", ".join(sorted(LANGUAGES))
        yield f"pipeline.queries.languages: cannot tell {', '.join(sorted(unknown))}; expected some of {known}"


def _hardware(hardware: HardwareConfig) -> Iterator[str]:
    world = hardware.devices * hardware.nodes
    if hardware.devices % hardware.generation_parallel:
        yield (
            f"hardware.generation_parallel={hardware.generation_parallel} does not divide "
            f"hardware.devices={hardware.devices}: every copy of the model needs as many devices"
        )
    if hardware.strategy is Strategy.single and world > 1:
        yield f"hardware.strategy=single uses one device, not {world}: set hardware.strategy=ddp or zero3"
    if hardware.offload_optimizer and hardware.accelerator is not Accelerator.gpu:
        yield "hardware.offload_optimizer moves states from a GPU to its host: set hardware.accelerator=gpu"
    if hardware.offload_optimizer and hardware.strategy not in _SHARDED:
        yield "hardware.offload_optimizer needs hardware.strategy=zero1, zero2 or zero3"
    if hardware.techniques.compile and hardware.strategy is Strategy.zero3:
        yield "hardware.techniques.compile=true cannot gather what hardware.strategy=zero3 spreads: turn one off"
    if hardware.techniques.liger and hardware.accelerator is not Accelerator.gpu:
        yield "hardware.techniques.liger=true needs hardware.accelerator=gpu"
    if hardware.attention not in _ATTENTION:
        yield f"hardware.attention={hardware.attention!r}: expected one of {', '.join(sorted(_ATTENTION))}"
    flash_runs = hardware.accelerator is Accelerator.gpu and hardware.precision is Precision.bf16
    if hardware.attention == "flash_attention_2" and not flash_runs:
        yield "hardware.attention=flash_attention_2 needs hardware.accelerator=gpu and hardware.precision=bf16"


def _batch(path: str, training: TrainingConfig, hardware: HardwareConfig, micro: int) -> Iterator[str]:
    devices, nodes = hardware.devices, hardware.nodes
    if training.global_batch_size % (micro * devices * nodes):
        yield (
            f"{path}.global_batch_size={training.global_batch_size} is not a multiple of {micro * devices * nodes} "
            f"(hardware: micro_batch_size {micro} × devices {devices} × nodes {nodes})"
        )


def _lengths(config: RunConfig) -> Iterator[str]:
    context = config.model.context_length
    lengths = {f"{path}.max_length": training.max_length for path, training in trainings(config)}
    if isinstance(config.algorithm, OnlineAlgorithm):
        lengths["algorithm.max_tokens"] = config.algorithm.max_tokens
    if config.evaluation.heldout.limit:
        lengths["evaluation.heldout.max_tokens"] = config.evaluation.heldout.max_tokens
    for name, benchmark in chosen(config.evaluation).items():
        if isinstance(benchmark, BenchmarkConfig):
            lengths[f"evaluation.{name}.max_tokens"] = benchmark.max_tokens
    for path, tokens in lengths.items():
        if tokens > context:
            yield f"{path}={tokens} exceeds model.context_length={context}"
    if isinstance(config.supervisor, LocalSupervisor):
        room = config.supervisor.source.context_length
        pipeline = config.pipeline
        for name in ("self_instruct", "write_verifiers", "back_translate", "nli", "respond", "score"):
            if (tokens := getattr(pipeline, name).max_tokens) >= room:
                yield f"pipeline.{name}.max_tokens={tokens} leaves no room in supervisor.source.context_length={room}"
