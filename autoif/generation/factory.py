"""From configuration to engines: the one place that knows all of them."""

from __future__ import annotations

import datetime
from pathlib import Path

from autoif.config import (
    GenerationEngine,
    HardwareConfig,
    LocalSupervisor,
    OpenAISupervisor,
    RecordedSupervisor,
    RunConfig,
    SupervisorConfig,
    TransformersSupervisor,
    VllmServerSupervisor,
    VllmSupervisor,
)
from autoif.errors import ConfigError
from autoif.generation.accounting import Budget, Price
from autoif.generation.base import Generator
from autoif.generation.cache import FILE_NAME, CachedGenerator, CallCache
from autoif.generation.scheduling import Engine


def supervisor_identity(config: SupervisorConfig) -> str:
    """What will answer, without making it: cheap, imports no engine. Goes into fingerprints.

    Raises:
        DataError: when a recording or a local model is not there.
    """
    match config:
        case RecordedSupervisor():
            from autoif.generation.recorded import read_header

            return read_header(_path(config.path)).identity
        case OpenAISupervisor():
            from autoif.generation.openai import identity

            return identity(config)
        case LocalSupervisor():
            from autoif.models import model_identity

            library = "transformers" if isinstance(config, TransformersSupervisor) else "vllm"
            return f"{library}:{model_identity(config.source)}"
    raise ConfigError(f"no generation engine for {type(config).__name__}")


def supervisor(config: RunConfig) -> Generator:
    """The run's supervisor behind the call cache, recording when ``supervisor.record`` is set. The caller closes it."""
    chosen = config.supervisor
    generator: Generator
    match chosen:
        case RecordedSupervisor():
            from autoif.generation.recorded import RecordedGenerator

            # A recording is a cache already.
            generator = RecordedGenerator(_path(chosen.path), chosen.pass_over)
        case OpenAISupervisor():
            from autoif.generation.openai import OpenAIGenerator

            generator = _supervising(config, OpenAIGenerator(chosen))
        case LocalSupervisor():
            generator = _supervising(config, _at_hand(config, chosen))
        case _:
            raise ConfigError(f"no generation engine for {type(chosen).__name__}")
    if chosen.record is None:
        return generator
    from autoif.generation.recorded import RecordingGenerator

    header = {
        "model": chosen.model,
        "quantisation": chosen.quantisation,
        "settings": {"pipeline": config.pipeline.name, "seed": config.data_seed},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    return RecordingGenerator(generator, _path(chosen.record), header)


def policy(config: RunConfig, model: Path | None, identity: str) -> Generator:
    """A local model behind the call cache: the folder ``model``, or the run's base model when None.

    ``identity`` names the weights in the cache. The caller closes it.
    """
    from autoif.models import prepare

    hardware, folder = config.hardware, model or prepare(config.model, _path(config.paths.cache))
    match hardware.generation_engine:
        case GenerationEngine.transformers:
            engine: Engine = _local(config, folder, identity, hardware.generation_batch_size)
        case GenerationEngine.vllm:
            alone = VllmSupervisor(source=config.model, tensor_parallel=hardware.generation_parallel)
            engine = _vllm(config, folder, identity, alone)
        case GenerationEngine.vllm_server:
            served = VllmServerSupervisor(source=config.model, tensor_parallel=hardware.generation_parallel)
            engine = _vllm_server(config, folder, identity, served)
    return CachedGenerator(engine, _cache(config), run=config.name)


def _at_hand(config: RunConfig, chosen: LocalSupervisor) -> Engine:
    """The engine of a supervisor whose weights are at hand."""
    from autoif.models import prepare

    folder, identity = prepare(chosen.source, _path(config.paths.cache)), supervisor_identity(chosen)
    match chosen:
        case TransformersSupervisor():
            return _local(config, folder, identity, chosen.batch_size)
        case VllmSupervisor():
            return _vllm(config, folder, identity, chosen)
        case VllmServerSupervisor():
            return _vllm_server(config, folder, identity, chosen)
    raise ConfigError(f"no generation engine for {type(chosen).__name__}")


def _vllm(config: RunConfig, folder: Path, identity: str, chosen: VllmSupervisor) -> Engine:
    from autoif.generation.vllm import VllmGenerator

    return VllmGenerator(
        folder,
        identity,
        concurrency=chosen.concurrency,
        context=chosen.source.context_length,
        tensor_parallel=chosen.tensor_parallel or max(1, config.hardware.devices // chosen.pipeline_parallel),
        pipeline_parallel=chosen.pipeline_parallel,
        precision=config.hardware.precision.value,
        memory_share=chosen.memory_share,
        seed=config.seed,
    )


def _vllm_server(config: RunConfig, folder: Path, identity: str, chosen: VllmServerSupervisor) -> Engine:
    from autoif.generation.vllm_server import VllmServerGenerator

    return VllmServerGenerator(
        folder,
        identity,
        arguments=serve_arguments(chosen, config.hardware),
        concurrency=chosen.concurrency,
        start_seconds=chosen.start_seconds,
        log=_path(config.paths.cache) / "vllm_server.log",
    )


def serve_arguments(chosen: VllmServerSupervisor, hardware: HardwareConfig) -> list[str]:
    """What ``vllm serve`` is told besides the model: the devices are filled with copies of it."""
    stages = chosen.pipeline_parallel
    parallel = chosen.tensor_parallel or max(1, hardware.devices // stages)
    values = {
        "dtype": hardware.precision.dtype,
        "max-model-len": chosen.source.context_length,
        "tensor-parallel-size": parallel,
        "pipeline-parallel-size": stages,
        "data-parallel-size": max(1, hardware.devices // (parallel * stages)),
        "gpu-memory-utilization": chosen.memory_share,
    }
    return [*(f"--{name}={value}" for name, value in values.items()), "--enable-prefix-caching", *chosen.arguments]


def _local(config: RunConfig, folder: Path, identity: str, batch_size: int) -> Engine:
    from autoif.generation.transformers import TransformersGenerator

    hardware = config.hardware
    return TransformersGenerator(
        folder,
        identity,
        batch_size=batch_size,
        threads=hardware.threads,
        accelerator=hardware.accelerator.value,
        precision=hardware.precision.value,
    )


def _supervising(config: RunConfig, engine: Engine) -> Generator:
    """``engine`` behind the cache, within the run's budget."""
    price = Price(input=config.supervisor.input_price, output=config.supervisor.output_price)
    tokens, cost = config.budget.max_tokens, config.budget.max_cost
    budget = Budget(max_tokens=tokens, max_cost=cost, price=price) if tokens or cost else None
    return CachedGenerator(engine, _cache(config), run=config.name, budget=budget, price=price)


def _cache(config: RunConfig) -> CallCache:
    return CallCache(_path(config.paths.cache) / FILE_NAME)


def _path(text: str) -> Path:
    return Path(text).expanduser()
