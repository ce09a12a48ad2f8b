"""Starting and stopping a model server, with a stand-in for the ``vllm`` command that is a real process and server."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from chat_server import reply_to

from autoif.config import GenerationEngine, HardwareConfig, ModelConfig, PathsConfig, RunConfig, VllmServerSupervisor
from autoif.errors import EngineError, MissingExtraError
from autoif.generation import vllm_server
from autoif.generation.base import Completion, Request, Sampling, user
from autoif.generation.factory import policy, serve_arguments
from autoif.generation.vllm_server import VllmServerGenerator

STAND_IN = """#!{python}
import sys, time
sys.path.insert(0, {tests!r})
from chat_server import ChatServer
print("arguments:", *sys.argv[1:], flush=True)
if "--broken" in sys.argv:
    sys.exit("CUDA out of memory")
time.sleep(0.3)
with ChatServer(port=int(sys.argv[sys.argv.index("--port") + 1])):
    time.sleep(600)
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "bin" / "vllm"
    path.parent.mkdir()
    path.write_text(STAND_IN.format(python=sys.executable, tests=str(Path(__file__).parent.parent)))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(vllm_server.sys, "executable", str(tmp_path / "python"))
    return path


def generator(folder: Path, *arguments: str, start_seconds: float = 60.0) -> VllmServerGenerator:
    return VllmServerGenerator(
        folder / "model",
        "vllm:m",
        arguments=arguments,
        concurrency=4,
        start_seconds=start_seconds,
        log=folder / "logs" / "vllm.log",
    )


def asked(count: int) -> list[Request]:
    return [Request(messages=user(str(number)), sampling=Sampling()) for number in range(count)]


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.usefixtures("command")
def test_a_server_is_started_at_the_first_request_and_stopped_at_the_end(tmp_path: Path) -> None:
    engine = generator(tmp_path, "--max-model-len=99")
    assert engine._process is None
    answers = list(engine.generate(asked(6)))
    assert [answer.text for answer in answers if isinstance(answer, Completion)] == [reply_to(str(n)) for n in range(6)]
    assert engine._process is not None
    pid = engine._process.pid
    list(engine.generate(asked(2)))
    assert engine._process.pid == pid
    assert running(pid)
    engine.close()
    engine.close()
    assert not running(pid)
    assert f"serve {tmp_path}/model --host 127.0.0.1" in (tmp_path / "logs" / "vllm.log").read_text()


@pytest.mark.usefixtures("command")
def test_a_server_that_does_not_come_up_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"vllm serve ended \(its last line: CUDA out of memory\).*vllm\.log"):
        list(generator(tmp_path, "--broken").generate(asked(1)))


@pytest.mark.usefixtures("command")
def test_a_server_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    engine = generator(tmp_path, start_seconds=0.01)
    started = time.monotonic()
    with pytest.raises(EngineError, match="was not up after"):
        list(engine.generate(asked(1)))
    assert time.monotonic() - started < 60
    assert engine._process is None


def test_without_vllm_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(vllm_server.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(MissingExtraError, match=r"autoif\[vllm\]"):
        list(generator(tmp_path).generate(asked(1)))


@pytest.mark.parametrize(
    "devices, parallel, stages, expected",
    [
        (8, None, 1, (8, 1, 1)),
        (8, 4, 1, (4, 1, 2)),
        (8, 1, 1, (1, 1, 8)),
        (1, None, 1, (1, 1, 1)),
        (8, None, 2, (4, 2, 1)),
        (8, 2, 2, (2, 2, 2)),
    ],
)
def test_devices_are_filled_with_copies_of_the_model(
    devices: int, parallel: int | None, stages: int, expected: tuple[int, int, int]
) -> None:
    source = ModelConfig(name="m", path="m", context_length=4096)
    chosen = VllmServerSupervisor(model="m", source=source, tensor_parallel=parallel, arguments=["--x=1"])
    chosen.pipeline_parallel = stages
    arguments = serve_arguments(chosen, HardwareConfig(name="h", devices=devices))
    assert f"--tensor-parallel-size={expected[0]}" in arguments
    assert f"--pipeline-parallel-size={expected[1]}" in arguments
    assert f"--data-parallel-size={expected[2]}" in arguments
    assert "--max-model-len=4096" in arguments
    assert arguments[-1] == "--x=1"


@pytest.mark.usefixtures("command")
def test_the_model_in_training_is_sampled_through_a_server_of_its_exported_folder(tmp_path: Path) -> None:
    served = GenerationEngine.vllm_server
    config = RunConfig(
        model=ModelConfig(name="m", path="m", context_length=512),
        hardware=HardwareConfig(name="h", devices=4, generation_engine=served, generation_parallel=2),
        paths=PathsConfig(cache=str(tmp_path / "cache")),
    )
    for iteration in (1, 2):
        engine = policy(config, tmp_path / f"model_{iteration}", f"weights {iteration}")
        answers = list(engine.generate(asked(3)))
        engine.close()
        assert [answer.text for answer in answers if isinstance(answer, Completion)] == [
            reply_to(str(n)) for n in range(3)
        ]
        log = (tmp_path / "cache" / "vllm_server.log").read_text()
        assert f"serve {tmp_path}/model_{iteration} " in log
        assert "--max-model-len=512 --tensor-parallel-size=2 --pipeline-parallel-size=1 --data-parallel-size=2" in log
