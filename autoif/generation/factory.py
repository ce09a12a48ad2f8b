"""From configuration to engines: the one place that knows all of them."""

from __future__ import annotations

import datetime
from pathlib import Path

from autoif.config import OpenAISupervisor, RecordedSupervisor, RunConfig, SupervisorConfig, TransformersSupervisor
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
        case TransformersSupervisor():
            from autoif.models import model_identity

            return f"transformers:{model_identity(config.source)}"
    raise ConfigError(f"no generation engine for {type(config).__name__}")


def supervisor(config: RunConfig) -> Generator:
    """The run's supervisor behind the call cache, recording when ``supervisor.record`` is set. The caller closes it."""
    chosen = config.supervisor
    generator: Generator
    match chosen:
        case RecordedSupervisor():
            from autoif.generation.recorded import RecordedGenerator

            # A recording is a cache already.
            generator = RecordedGenerator(_path(chosen.path))
        case OpenAISupervisor():
            from autoif.generation.openai import OpenAIGenerator

            generator = _supervising(config, OpenAIGenerator(chosen))
        case TransformersSupervisor():
            from autoif.models import prepare

            folder = prepare(chosen.source, _path(config.paths.cache))
            generator = _supervising(config, _local(config, folder, supervisor_identity(chosen), chosen.batch_size))
        case _:
            raise ConfigError(f"no generation engine for {type(chosen).__name__}")
    if chosen.record is None:
        return generator
    from autoif.generation.recorded import RecordingGenerator

    header = {
        "model": chosen.model,
        "quantisation": chosen.quantisation,
        "settings": {"pipeline": config.pipeline.name, "seed": config.seed},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    return RecordingGenerator(generator, _path(chosen.record), header)


def policy(config: RunConfig, model: Path | None, identity: str) -> Generator:
    """A local model behind the call cache: the folder ``model``, or the run's base model when None.

    ``identity`` names the weights in the cache. The caller closes it.
    """
    from autoif.models import prepare

    folder = model or prepare(config.model, _path(config.paths.cache))
    engine = _local(config, folder, identity, config.hardware.generation_batch_size)
    return CachedGenerator(engine, _cache(config), run=config.name)


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
    budget = Budget(max_tokens=config.budget.max_tokens, max_cost=config.budget.max_cost, price=price)
    return CachedGenerator(engine, _cache(config), run=config.name, budget=budget, price=price)


def _cache(config: RunConfig) -> CallCache:
    return CallCache(_path(config.paths.cache) / FILE_NAME)


def _path(text: str) -> Path:
    return Path(text).expanduser()
