"""What answers, and what gives log-likelihoods: the measured model through the run's own engine or another one.

``evaluation.engine`` null: ``transformers`` in this process. A local engine of the supervisor group (vLLM, a vLLM
server) loads the measured model in place of its own source; an OpenAI-compatible endpoint has to serve it already.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoif.config import (
    Accelerator,
    LocalSupervisor,
    ModelConfig,
    OpenAISupervisor,
    RunConfig,
    VllmServerSupervisor,
    VllmSupervisor,
)
from autoif.errors import EngineError, MissingExtraError
from autoif.generation.base import Generator
from autoif.generation.factory import policy, supervisor

LOGIT_BYTES_CPU, LOGIT_BYTES_GPU = 2 * 1024**3, 16 * 1024**3
"""What the logits of a batch may take: lm-eval holds those of every token of every row, twice."""
TOKENS = 1024
"""Of a question with five solved examples, roughly; longer ones are few."""


def answering(config: RunConfig, model: Path | None, identity: str) -> Generator:
    """A generator over the exported folder ``model``, or over the run's base model when None. The caller closes it.

    Raises:
        EngineError: for an endpoint and a model that it can't serve, since it was only just trained.
    """
    engine = config.evaluation.engine
    match engine:
        case None:
            return policy(config, model, identity)
        case OpenAISupervisor():
            if model is not None:
                raise EngineError(
                    f"the endpoint of evaluation.engine serves {engine.model}, not the model trained in this run: "
                    "measure that with task=evaluate once it is served, or leave evaluation.engine null"
                )
            return supervisor(replace(config, supervisor=engine))
        case LocalSupervisor():
            return supervisor(replace(config, supervisor=replace(engine, source=_source(config, model))))
    raise EngineError(f"evaluation.engine: {type(engine).__name__} cannot answer benchmarks")


def log_likelihoods(config: RunConfig, model: Path | None) -> Any:
    """lm-eval's model of the same weights: ``HFLM``, ``VLLM`` or a completions endpoint.

    Raises:
        MissingExtraError: without lm-eval or vLLM.
    """
    engine, batch = config.evaluation.engine, config.hardware.generation_batch_size
    try:
        match engine:
            case OpenAISupervisor():
                return _endpoint(engine, _folder(config, None))
            case VllmSupervisor() | VllmServerSupervisor():
                from lm_eval.models.vllm_causallms import VLLM

                return VLLM(
                    pretrained=str(_folder(config, model)),
                    dtype=config.hardware.precision.dtype,
                    tensor_parallel_size=engine.tensor_parallel or config.hardware.devices,
                    gpu_memory_utilization=engine.memory_share,
                    max_model_len=config.model.context_length,
                    seed=config.seed,
                )
        from lm_eval.models.huggingface import HFLM
    except ImportError as error:
        raise MissingExtraError(error.name or "lm_eval", "eval") from None
    import torch

    from evaluation.lm_bridge import quiet

    if config.hardware.threads:
        torch.set_num_threads(config.hardware.threads)
    gpu = config.hardware.accelerator is Accelerator.gpu
    with quiet():
        scorer = HFLM(
            pretrained=str(_folder(config, model)),
            device="cuda" if gpu else "cpu",
            dtype=config.hardware.precision.dtype,
            batch_size=1,
        )
    vocabulary = int(scorer.model.config.get_text_config().vocab_size)
    room = (LOGIT_BYTES_GPU if gpu else LOGIT_BYTES_CPU) // (TOKENS * vocabulary * 4)
    scorer.batch_size_per_gpu = max(1, min(batch, room))
    return scorer


def live(model: Any, tokenizer: Any, batch_size: int = 1) -> Any:
    """lm-eval's model over one that is in memory already (``transformers``), right after training say."""
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)


def _endpoint(engine: OpenAISupervisor, tokenizer: Path) -> Any:
    """A completions endpoint (chat ones give no log-likelihoods) that serves the model whose ``tokenizer`` is given."""
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    base = engine.base_url or "https://api.openai.com/v1"
    os.environ.setdefault("OPENAI_API_KEY", os.environ.get(engine.api_key_env, ""))
    return LocalCompletionsAPI(
        base_url=f"{base.rstrip('/')}/completions",
        model=engine.model,
        tokenizer=str(tokenizer),
        tokenizer_backend="huggingface",
        num_concurrent=engine.concurrency,
        max_retries=engine.retries,
    )


def _source(config: RunConfig, model: Path | None) -> ModelConfig:
    return config.model if model is None else replace(config.model, path=str(model), package=None, gguf_file=None)


def _folder(config: RunConfig, model: Path | None) -> Path:
    from autoif.models import prepare

    return model or prepare(config.model, Path(config.paths.cache).expanduser())
