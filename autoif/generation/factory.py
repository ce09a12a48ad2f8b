"""From configuration to engines: the one place that knows all of them."""

from __future__ import annotations

import datetime
from pathlib import Path

from autoif.config import OpenAISupervisor, RecordedSupervisor, RunConfig, SupervisorConfig, TransformersSupervisor
from autoif.errors import ConfigError
from autoif.generation.base import Generator
from autoif.generation.cache import FILE_NAME, CachedGenerator, CallCache


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

            generator = CachedGenerator(OpenAIGenerator(chosen), _cache(config))
        case TransformersSupervisor():
            from autoif.models import prepare

            folder = prepare(chosen.source, _path(config.paths.cache))
            generator = policy(config, folder, supervisor_identity(chosen), chosen.batch_size)
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


def policy(config: RunConfig, model: Path | None, identity: str, batch_size: int | None = None) -> Generator:
    """A local model behind the call cache: the folder ``model``, or the run's base model when None.

    ``identity`` names the weights in the cache. ``batch_size`` defaults to the hardware's. The caller closes it.
    """
    from autoif.generation.transformers import TransformersGenerator
    from autoif.models import prepare

    hardware = config.hardware
    engine = TransformersGenerator(
        model or prepare(config.model, _path(config.paths.cache)),
        identity,
        batch_size=batch_size or hardware.generation_batch_size,
        threads=hardware.threads,
        accelerator=hardware.accelerator.value,
        precision=hardware.precision.value,
    )
    return CachedGenerator(engine, _cache(config))


def _cache(config: RunConfig) -> CallCache:
    return CallCache(_path(config.paths.cache) / FILE_NAME)


def _path(text: str) -> Path:
    return Path(text).expanduser()
