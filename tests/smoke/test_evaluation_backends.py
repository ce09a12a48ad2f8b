"""Log-likelihoods of the same weights from an exported folder, a live model and a completions endpoint are the same."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from training_tiny import tiny_model

from autoif.border import load
from autoif.engines import Engines
from autoif.errors import EngineError

pytest.importorskip("lm_eval")
PAIRS = [("Two and two are", " four"), ("Two and two are", " five"), ("Water is", " wet, mostly")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("backends") / "model")


def config(folder: Path, *more: str) -> Any:
    own = [f"model.path={folder}", "model.package=null", "model.gguf_file=null", "evaluation=none", *more]
    return load(own)


def asked(scorer: Any) -> list[float]:
    from lm_eval.api.instance import Instance

    requests = [Instance("loglikelihood", {}, pair, place) for place, pair in enumerate(PAIRS)]
    return [float(found[0]) for found in scorer.loglikelihood(requests)]


@pytest.fixture(scope="module")
def truth(folder: Path) -> list[float]:
    """By hand, token by token."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    found = []
    for context, continuation in PAIRS:
        ids = tokenizer(context + continuation, add_special_tokens=False)["input_ids"]
        start = len(tokenizer(context, add_special_tokens=False)["input_ids"])
        with torch.no_grad():
            logs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        found.append(sum(float(logs[place - 1, ids[place]]) for place in range(start, len(ids))))
    return found


def test_an_exported_folder_and_the_base_model(folder: Path, truth: list[float]) -> None:
    with Engines(config(folder)) as engines:
        assert asked(engines.scorer(None)) == pytest.approx(truth, abs=1e-3)
        assert asked(engines.scorer(folder)) == pytest.approx(truth, abs=1e-3)


def test_a_live_model(folder: Path, truth: list[float]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from evaluation.backends import live

    scorer = live(AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder), 2)
    assert asked(scorer) == pytest.approx(truth, abs=1e-3)


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    """A completions endpoint that echoes prompts with the log-probabilities of their tokens."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)

    def choice(index: int, ids: list[int]) -> dict[str, Any]:
        with torch.no_grad():
            logs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        own = [None, *(float(logs[place - 1, ids[place]]) for place in range(1, len(ids))), 0.0]
        top = [None, *({"t": float(logs[place - 1].max())} for place in range(1, len(ids))), {"t": 0.0}]
        return {"index": index, "text": "", "logprobs": {"token_logprobs": own, "top_logprobs": top}}

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert (self.path, body["model"], body["echo"]) == ("/v1/completions", "served", True)
            prompts = body["prompt"] if isinstance(body["prompt"][0], list) else [body["prompt"]]
            data = json.dumps({"choices": [choice(n, ids) for n, ids in enumerate(prompts)]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


def test_a_completions_endpoint(folder: Path, truth: list[float], url: str) -> None:
    pytest.importorskip("tenacity")
    endpoint = ["supervisor@evaluation.engine=openai", "evaluation.engine.model=served"]
    with Engines(config(folder, *endpoint, f"evaluation.engine.base_url={url}")) as engines:
        assert asked(engines.scorer(None)) == pytest.approx(truth, abs=1e-3)


def test_an_endpoint_cannot_serve_what_was_only_just_trained(folder: Path) -> None:
    endpoint = ["supervisor@evaluation.engine=openai", "evaluation.engine.base_url=http://127.0.0.1:9/v1"]
    with (
        Engines(config(folder, *endpoint)) as engines,
        pytest.raises(EngineError, match="not the model trained in this run"),
    ):
        engines.examinee(folder, "trained")


def test_a_local_engine_loads_the_measured_model(folder: Path, tmp_path: Path) -> None:
    from autoif.generation.base import Request, Sampling, user

    request = Request(messages=user("Hello"), sampling=Sampling(max_tokens=4))
    local = ["supervisor@evaluation.engine=transformers", f"paths.cache={tmp_path}"]
    with Engines(config(folder, *local)) as engines:
        ours = engines.examinee(folder, "trained")
        (answer,) = ours.generate([request])
        ours.close()
        own = engines.policy(folder, "trained")
        assert list(own.generate([request])) == [answer]
        own.close()
