"""A local chat model through vLLM, in this process: continuous batching, prefix caching, tensor parallel.

A streaming engine: requests are handed to vLLM's own scheduler and answers are taken out as they finish, so that each
is stored at once. Written against vLLM 0.32.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoif.config import Precision
from autoif.errors import EngineError, MissingExtraError
from autoif.generation.base import Answer, Completion, Request
from autoif.generation.chat import chat_ids, too_long, turn_ends
from autoif.generation.openai_replies import sample_seed
from autoif.generation.scheduling import in_order


class VllmGenerator:
    """The model in ``folder``; it is loaded at the first request.

    ``precision``: fp32 or bf16. ``context``: tokens of prompt and answer. ``memory_share``: of each GPU.
    ``further``: more arguments of vLLM's ``LLM``.
    """

    def __init__(
        self,
        folder: Path,
        identity: str,
        *,
        concurrency: int,
        context: int,
        tensor_parallel: int = 1,
        pipeline_parallel: int = 1,
        precision: str = "bf16",
        memory_share: float = 0.9,
        seed: int = 0,
        **further: Any,
    ) -> None:
        self.identity = identity
        self.concurrency = concurrency
        self._folder = folder
        self._options = {
            "model": str(folder),
            "dtype": Precision(precision).dtype,
            "max_model_len": context,
            "tensor_parallel_size": tensor_parallel,
            "pipeline_parallel_size": pipeline_parallel,
            "gpu_memory_utilization": memory_share,
            "enable_prefix_caching": True,
            "seed": seed,
            **further,
        }
        self.context = context
        self.llm: Any = None
        self.tokenizer: Any = None
        self.ends: list[int] = []

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer ``requests`` in their order."""
        return in_order(self, requests)

    @contextmanager
    def session(self) -> Iterator[_Session]:
        """Requests at vLLM; what has not finished at the end is aborted."""
        self._load()
        session = _Session(self, self._folder)
        try:
            yield session
        finally:
            session.abort()

    def close(self) -> None:
        """Stop vLLM's processes and free the devices. May be called twice."""
        if self.llm is not None:
            self.llm.llm_engine.engine_core.shutdown()
            self.llm = self.tokenizer = None

    def _load(self) -> None:
        if self.llm is not None:
            return
        try:
            from vllm import LLM
        except ImportError:
            raise MissingExtraError("vllm", "vllm") from None
        try:
            self.llm = LLM(**self._options)
        except (OSError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise EngineError(
                f"vLLM cannot load {self._folder} ({reason}): see its log above; if it is memory, lower "
                "supervisor.source.context_length or supervisor.memory_share, or raise hardware.tensor_parallel"
            ) from None
        self.tokenizer = self.llm.get_tokenizer()
        self.ends = sorted(turn_ends(self.tokenizer))


class _Session:
    """Requests of one ``generate`` call at vLLM's scheduler."""

    def __init__(self, engine: VllmGenerator, folder: Path) -> None:
        self._owner, self._folder = engine, folder
        self._engine = engine.llm.llm_engine
        self._flying: set[str] = set()
        self._refused: list[tuple[str, Answer]] = []

    def submit(self, key: str, request: Request) -> None:
        """Hand a request to the scheduler; prompts that leave no room are refused here."""
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        (prompt,) = chat_ids(self._owner.tokenizer, [request], self._folder)
        if failure := too_long(prompt, self._owner.context):
            self._refused.append((key, failure))
            return
        sampling = request.sampling
        schema = request.json_schema
        params = SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=min(sampling.max_tokens, self._owner.context - len(prompt)),
            stop=list(sampling.stop) or None,
            stop_token_ids=self._owner.ends,
            seed=sample_seed(request),
            structured_outputs=None if schema is None else StructuredOutputsParams(json=schema),
        )
        self._engine.add_request(key, {"prompt_token_ids": prompt}, params)
        self._flying.add(key)

    def collect(self) -> list[tuple[str, Answer]]:
        """Step until something finishes."""
        answers, self._refused = self._refused, []
        while not answers and self._flying:
            for output in self._engine.step():
                if output.finished and output.request_id in self._flying:
                    self._flying.remove(output.request_id)
                    answers.append((output.request_id, _completion(output)))
        return answers

    def abort(self) -> None:
        """Take back what has not finished."""
        if self._flying and self._owner.llm is not None:
            self._engine.abort_request(list(self._flying))


def _completion(output: Any) -> Completion:
    best = output.outputs[0]
    return Completion(
        text=best.text,
        finish="length" if best.finish_reason == "length" else "stop",
        prompt_tokens=len(output.prompt_token_ids or ()),
        completion_tokens=len(best.token_ids),
    )
