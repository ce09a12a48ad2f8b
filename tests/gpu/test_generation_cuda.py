"""Local decoding on a GPU: the same answers in batches and alone in fp32, and bf16 answers everything."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from training_tiny import tiny_model  # noqa: E402

from autoif.generation.base import Completion, Request, Sampling, user  # noqa: E402
from autoif.generation.transformers import TransformersGenerator  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

REQUESTS = [
    Request(messages=user("abc " * (number % 7 + 1)), sampling=Sampling(max_tokens=5 + number % 20))
    for number in range(40)
]


def generator(folder: Path, batch_size: int, precision: str) -> TransformersGenerator:
    return TransformersGenerator(folder, "tiny", batch_size=batch_size, accelerator="gpu", precision=precision)


def test_batched_answers_equal_those_one_by_one_on_a_gpu(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    alone = generator(folder, 1, "fp32")
    expected = [next(iter(alone.generate([request]))) for request in REQUESTS]
    assert list(generator(folder, 8, "fp32").generate(REQUESTS)) == expected


def test_bfloat16_answers_everything_on_a_gpu(tmp_path: Path) -> None:
    answers = list(generator(tiny_model(tmp_path), 8, "bf16").generate(REQUESTS))
    assert all(isinstance(answer, Completion) for answer in answers)
