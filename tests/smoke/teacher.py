"""A tiny OpenAI-compatible server with a scripted teacher, for runs in processes of their own.

The teacher answers from the request alone, right and wrong in turn, so that every filter keeps and drops something.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from scripted import asked

Call = tuple[str, int]
"""What tells two calls apart: the prompt and the seed of the sample."""

WORDS = ("apple", "river", "stone", "cloud", "green", "music")
SEEDS = [
    f'Use the word "{word}" at least {count} times.' for word, count in zip(WORDS, (1, 2, 3, 1, 2, 1), strict=True)
]


def draw(call: Call, choices: int) -> int:
    """A number below ``choices`` that follows from the call alone."""
    return int(hashlib.sha256(f"{call[1]}:{call[0]}".encode()).hexdigest(), 16) % choices


def last(pattern: str, text: str) -> tuple[str, int]:
    """Word and count of the last instruction (or function) in ``text``."""
    word, count = re.findall(pattern, text)[-1]
    return word, int(count)


INSTRUCTION = r'Use the word "(\w+)" at least (\d+) times'


def answer(call: Call) -> str:
    prompt = call[0]
    match asked(prompt):
        case "self_instruct":
            word, count = last(INSTRUCTION, prompt)
            return "- New ones:" if word == "music" else f'- Use the word "{word}" at least {count + 1} times.'
        case "write_verifier":
            return verifier(call, *last(INSTRUCTION, prompt))
        case "back_translate":
            word, count = last(r"count\('(\w+)'\) >= (\d+)", prompt)
            return f'Use the word "{word}" at least {count} times.'
        case "back_translate_together":
            found = re.findall(r"count\('(\w+)'\) >= (\d+)", prompt)
            return json.dumps([f'Use the word "{word}" at least {count} times.' for word, count in found])
        case "compose":
            found = re.findall(INSTRUCTION, prompt)
            return " ".join(word for word, count in found for _ in range(int(count)))
        case "nli":
            return "contradiction" if draw(call, 6) == 0 else "entailment"
        case "respond":
            wanted = [(word, int(count)) for word, count in re.findall(INSTRUCTION, prompt)]
            times = 1 if draw(call, 3) else 0
            words = [word for word, count in wanted for _ in range(count * times)]
            return f"An answer, number {call[1] % 97}: " + " ".join(words or ["nothing"])
    return f"It answers.\nScore: {4 if draw(call, 5) == 0 else 9}"


def verifier(call: Call, word: str, count: int) -> str:
    if draw(call, 7) == 0:
        return "I would rather not write code today."
    wanted = count if draw(call, 5) else count + 3
    code = f"def evaluate(response):\n    return response.count('{word}') >= {wanted}"
    cases = [(f"{word} " * count, True), ("nothing of it", False), (f"{word} " * (count + 5), True)]
    return json.dumps({"func": code, "cases": [{"input": text, "output": expected} for text, expected in cases]})


class _Server(ThreadingHTTPServer):
    def handle_error(self, *where: Any) -> None:
        """Clients are killed here: a connection that breaks is no news."""


class Teacher:
    """The server. ``received`` counts calls; ``at(n)`` is an event that is set when the n-th call comes in."""

    def __init__(self, delay: float = 0.002) -> None:
        self.received: Counter[Call] = Counter()
        self._events: dict[int, threading.Event] = {}
        self._lock = threading.Lock()
        teacher = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                call = (body["messages"][-1]["content"], body["seed"])
                teacher.count(call)
                time.sleep(delay)
                self.reply(answer(call))

            def reply(self, text: str) -> None:
                message = {"role": "assistant", "content": text}
                choice = {"index": 0, "finish_reason": "stop", "message": message}
                usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
                row = {"id": "1", "object": "chat.completion", "created": 1, "model": "teacher", "usage": usage}
                data = json.dumps(row | {"choices": [choice]}).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True  # the client was killed

            def log_message(self, *parts: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def count(self, call: Call) -> None:
        with self._lock:
            self.received[call] += 1
            event = self._events.get(self.received.total())
        if event is not None:
            event.set()

    def at(self, calls: int) -> threading.Event:
        """Set when so many calls have come in, all runs together."""
        with self._lock:
            return self._events.setdefault(calls, threading.Event())

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
