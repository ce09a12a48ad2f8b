"""A local chat model through ``transformers``: supervisor, policy, or model under evaluation.

A batch engine: requests are taken in windows of several batches, longest first, and a window's answers are stored as
a whole, so that a resumed run decodes the same rows beside the same neighbours and gives the same answers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoif.config import Precision
from autoif.errors import DataError, EngineError
from autoif.generation.base import Answer, Completion, Request, request_key
from autoif.generation.chat import chat_ids, too_long, turn_ends
from autoif.generation.scheduling import in_order

if TYPE_CHECKING:
    from autoif.generation.decoding import Row

BATCHES_PER_WINDOW = 4
"""More levels lengths better; a killed run loses up to a window."""

STOP_TOKENS = 16
"""New tokens that are decoded anew to look for a stop string, beside as many as the string has characters."""


class TransformersGenerator:
    """The model in ``folder`` as a batch engine (see :mod:`autoif.generation.scheduling`) and as a generator.

    ``batch_size``: rows decoded together. ``threads``: CPU threads, 0 for all. ``accelerator``: cpu or gpu.
    ``precision``: fp32 or bf16. The model is loaded at the first request.
    """

    def __init__(
        self,
        folder: Path,
        identity: str,
        *,
        batch_size: int = 32,
        threads: int = 0,
        accelerator: str = "cpu",
        precision: str = "fp32",
    ) -> None:
        if not (folder / "config.json").is_file():
            raise DataError(f"no model in {folder}: it has no config.json")
        self.identity = identity
        self.window = batch_size * BATCHES_PER_WINDOW
        self._folder, self._batch_size, self._threads = folder, batch_size, threads
        self._accelerator, self._precision = accelerator, precision
        self._model: Any = None
        self._tokenizer: Any = None
        self._ends: frozenset[int] = frozenset()

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer ``requests`` in their order, window by window."""
        return in_order(self, requests)

    def batches(self, requests: Sequence[Request]) -> Iterator[list[tuple[int, Answer]]]:
        """All answers of a window at once.

        Raises:
            EngineError: when the model has no chat template or does not fit in memory.
        """
        self._load()
        from autoif.generation.decoding import decode

        answers: list[tuple[int, Answer]] = []
        rows: list[tuple[int, Row]] = []
        context = int(self._model.config.get_text_config().max_position_embeddings)
        prompts = chat_ids(self._tokenizer, requests, self._folder)
        for position, (request, prompt) in enumerate(zip(requests, prompts, strict=True)):
            if failure := too_long(prompt, context):
                answers.append((position, failure))
            else:
                rows.append((position, self._row(request, prompt, context)))
        # Longest first: the short ones fill up what the long ones leave, and siblings stay together.
        rows.sort(key=lambda item: (-len(item[1].prompt) - item[1].limit, item[1].prompt))
        try:
            decode(self._model, [row for _, row in rows], self._batch_size, self._pad, self._ends)
        except MemoryError as error:
            raise self._out_of_memory() from error
        except RuntimeError as error:
            if "out of memory" not in str(error) and "allocate memory" not in str(error):
                raise
            raise self._out_of_memory() from error
        answers += [(position, self._completion(requests[position], row)) for position, row in rows]
        yield answers

    def close(self) -> None:
        """Free the model."""
        if self._model is None:
            return
        self._model = self._tokenizer = None
        if self._accelerator == "gpu":
            import torch

            torch.cuda.empty_cache()

    @property
    def _pad(self) -> int:
        """Any valid token: padding is masked."""
        pad = self._tokenizer.pad_token_id
        return int(pad) if pad is not None else min(self._ends)

    def _load(self) -> None:
        if self._model is not None:
            return
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging as library_logging

        from autoif.generation.kv import ATTENTION

        if self._threads:
            torch.set_num_threads(self._threads)
        if self._accelerator == "gpu" and not torch.cuda.is_available():
            raise EngineError("no GPU is visible here: set hardware=cpu, or run where there is one")
        library_logging.disable_progress_bar()
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(self._folder)
            model = AutoModelForCausalLM.from_pretrained(
                self._folder,
                dtype=Precision(self._precision).dtype,
                attn_implementation=ATTENTION,
            )
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"the model in {self._folder} cannot be loaded ({reason}): export or fetch it again"
            ) from None
        self._model = model.to("cuda" if self._accelerator == "gpu" else "cpu").eval()
        ends = self._model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        own = {int(end) for end in (*ends, self._tokenizer.eos_token_id) if end is not None}
        self._ends = frozenset(own | turn_ends(self._tokenizer))

    def _row(self, request: Request, prompt: list[int], context: int) -> Row:
        from autoif.generation.decoding import Row

        sampling = request.sampling
        return Row(
            prompt=prompt,
            limit=min(sampling.max_tokens, context - len(prompt)),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            random=random.Random(request_key(request)),
            stops=self._stopper(sampling.stop) if sampling.stop else None,
        )

    def _stopper(self, stops: tuple[str, ...]) -> Callable[[Row], bool]:
        """Whether a row's last tokens complete one of ``stops``."""
        tail = STOP_TOKENS + max(map(len, stops))

        def stopped(row: Row) -> bool:
            text = self._tokenizer.decode(row.tokens[-tail:], skip_special_tokens=True)
            return any(stop in text for stop in stops)

        return stopped

    def _completion(self, request: Request, row: Row) -> Completion:
        """The row's text, cut before the first stop string."""
        text = self._tokenizer.decode(row.tokens, skip_special_tokens=True)
        cuts = [found for stop in request.sampling.stop if (found := text.find(stop)) >= 0]
        return Completion(
            text=text[: min(cuts)] if cuts else text,
            finish=row.finish,
            prompt_tokens=len(row.prompt),
            completion_tokens=len(row.tokens),
        )

    def _out_of_memory(self) -> EngineError:
        return EngineError(
            f"the model in {self._folder} ran out of memory with {self._batch_size} rows at once: lower "
            "hardware.generation_batch_size (supervisor.batch_size), then run again: answers so far are kept"
        )
