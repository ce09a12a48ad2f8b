"""Every judged benchmark, end to end: questions, answers and judgments through an OpenAI-compatible server."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from autoif.config import OpenAISupervisor
from autoif.generation.openai import OpenAIGenerator
from evaluation import arena_hard, followbench, infobench, mt_bench
from evaluation.judge import Judge, agreement
from evaluation.summary import collect, results

pytest.importorskip("openai")


def reply(model, messages):
    """What the server says: a model that answers, or a judge that ends as each benchmark asks."""
    said = messages[-1]["content"]
    if model == "policy":
        return f"An answer to {len(messages)} messages."
    if "[[A>>B]]" in said:
        return "Both are short. [[A=B]]"
    if levels := re.search(r"Python list of (\d) strings", said):
        return "All but the last.\n" + str(["YES"] * (int(levels[1]) - 1) + ["NO"])
    if "Question:" in said:
        return "YES" if said.endswith("good?") else "NO, it is not."
    return "Rating: [[7]]"


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = {"role": "assistant", "content": reply(asked["model"], asked["messages"])}
        body = {"id": "1", "object": "chat.completion", "created": 0, "model": asked["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}  # fmt: skip
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


@pytest.fixture
def model_and_judge(url, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none-needed")
    engines = [
        OpenAIGenerator(OpenAISupervisor(model=name, base_url=url, concurrency=4)) for name in ("policy", "judge")
    ]
    yield engines[0], Judge(engines[1])
    for engine in engines:
        engine.close()


def table(items):
    return {result.metric: result for result in results(collect(items))}


def test_followbench(model_and_judge):
    model, judge = model_and_judge
    items = [
        followbench.Item(
            "style", example, level, "made", f"{example} at {level}", "", tuple(map(str, range(level + 1)))
        )
        for example in (1, 2)
        for level in range(1, 6)
    ]
    found = {
        r.metric: r for r in followbench.aggregate(followbench.score(followbench.generate(model, items), judge, "m"))
    }
    assert found["hsr"].value == 0.0
    assert found["ssr_level_4"].value == 0.75
    assert found["ssr"].judge == "openai:judge"
    assert judge.facts() == {"judge": "openai:judge", "judged": 10, "judge_retried": 0, "judge_unparsable": 0}


def test_infobench(model_and_judge):
    model, judge = model_and_judge
    items = [infobench.Item(str(i), f"Do {i}", "", ("Is it good?", "Is it bad?"), "easy", ()) for i in range(3)]
    found = table(infobench.score(infobench.generate(model, items), judge, "m"))
    assert (found["drfr"].value, found["drfr"].n) == (0.5, 6)


def test_mt_bench(model_and_judge):
    model, judge = model_and_judge
    items = [mt_bench.Item(str(i), "writing", ("First?", "Second?")) for i in range(3)]
    prompt = mt_bench.JudgePrompt("Grade.", "{question_1} {answer_1} {question_2} {answer_2}")
    answered = mt_bench.generate(model, items)
    assert answered[0][1] == ("An answer to 1 messages.", "An answer to 3 messages.")
    found = table(mt_bench.score(answered, judge, {(False, 1): prompt, (False, 2): prompt}, "m"))
    assert (found["score"].value, found["score"].n) == (7.0, 6)


def test_arena_hard(model_and_judge):
    model, judge = model_and_judge
    items = [arena_hard.Item(str(i), "arena-hard-v0.1", f"Do {i}") for i in range(3)]
    answered = arena_hard.generate(model, items)
    scored = arena_hard.score(arena_hard.V01, answered, {item.id: "theirs" for item in items}, judge, "m")
    (found,) = arena_hard.aggregate(arena_hard.V01, scored)
    assert (found.value, found.n) == (0.5, 3)


def test_two_judges_can_be_compared():
    first = {"a": True, "b": True, "c": False, "d": False, "e": None}
    second = {"a": True, "b": False, "c": False, "d": False, "e": True, "f": True}
    found = agreement(first, second)
    # 3 of 4 equal; by chance (2/4 * 1/4 + 2/4 * 3/4) = 1/2.
    assert (found.n, found.share, found.kappa) == (4, 0.75, pytest.approx(0.5))
    assert agreement({"a": 1}, {"a": 1}).kappa == 1.0
    with pytest.raises(ValueError, match="no verdict in common"):
        agreement({"a": 1}, {"b": 1})
