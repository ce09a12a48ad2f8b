"""Responses: K samples for each (instruction, query), from the supervisor or from the model that is trained."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from autoif.config import OnlineAlgorithm, RespondConfig
from autoif.generation import Completion, Generator, Request, Sampling
from autoif.generation.base import Answer, user
from autoif.records import Answers, Prompt, Record, Reject, Reply, Response
from autoif.stage import Context, Estimate, Rows
from autoif.synthesis.prompts import render


@dataclass(kw_only=True, slots=True)
class SampleConfig:
    """Sampling from the policy in one online iteration (paper §3.3: temperature 0.8). ``iteration`` counts from 1."""

    iteration: int
    samples: int
    temperature: float
    top_p: float
    max_tokens: int
    prompts: int | None


def respond(context: Context, prompts: Sequence[Prompt]) -> Iterator[Answers | Reject]:
    """The supervisor answers each query under its instruction K times (paper §3.2, rejection sampling)."""
    yield from _answers(context, context.engines.supervisor, prompts)


def sample(context: Context, prompts: Rows[Prompt], model: Rows[Record]) -> Iterator[Answers | Reject]:
    """The current model answers the training prompts K times, as it will be asked later (paper §3.3, online)."""
    config: SampleConfig = context.config
    policy = context.engines.policy(model.files / "model", model.entry.fingerprint)
    try:
        yield from _answers(context, policy, window(prompts, config.iteration, config.prompts, context.seed))
    finally:
        policy.close()


def window(prompts: Rows[Prompt], iteration: int, count: int | None, seed: int) -> Iterator[Prompt]:
    """The ``count`` prompts of an iteration (from 1), in the order of the rows; None: all, every time.

    Rows lie instruction by instruction, so the prompts are dealt from a shuffled deck: each iteration sees all kinds of
    instructions and goes on where the one before ended, from the start again when the deck is used up.
    """
    total = len(prompts)
    if count is None or count >= total:
        yield from prompts
        return
    deck = list(range(total))
    random.Random(f"{seed}:rounds").shuffle(deck)
    start = (iteration - 1) * count % total
    dealt = set(islice(chain(deck, deck), start, start + count))
    yield from (prompt for place, prompt in enumerate(prompts) if place in dealt)


def question(config: RespondConfig | SampleConfig) -> Callable[[Prompt], str]:
    """How a prompt is put: to the supervisor with instruction and query apart, to the policy as it is trained."""
    if isinstance(config, SampleConfig):
        return lambda prompt: prompt.text
    brief = render("respond_brief", words=config.max_words) if config.max_words else ""

    def ask(prompt: Prompt) -> str:
        return render("respond", instruction=prompt.instruction, query=prompt.query, brief=brief).strip()

    return ask


def decoding(config: RespondConfig | SampleConfig) -> Sampling:
    """How answers are sampled."""
    return Sampling(temperature=config.temperature, top_p=config.top_p, max_tokens=config.max_tokens)


def reading(prompt: Prompt, index: int, answer: Answer) -> Response | Reject:
    """Sample ``index`` as a response, marked where it is empty or cut off; a failure as what is kept of it."""
    if not isinstance(answer, Completion):
        return Reject(Reply(id=prompt.id, index=index, text=answer.detail), answer.reason)
    dropped = None if answer.text.strip() else "empty"
    if answer.finish == "length":
        dropped = "cut_off"
    return Response(index=index, text=answer.text.strip(), dropped=dropped)


def _answers(context: Context, generator: Generator, prompts: Iterable[Prompt]) -> Iterator[Answers | Reject]:
    config: RespondConfig | SampleConfig = context.config
    ask, sampling = question(config), decoding(config)
    waiting: deque[Prompt] = deque()

    def requests() -> Iterator[Request]:
        for prompt in prompts:
            waiting.append(prompt)
            messages = user(ask(prompt))
            for index in range(config.samples):
                yield Request(messages=messages, sampling=sampling, index=index, seed=context.seed)

    answers = generator.generate(requests())
    for first in answers:
        prompt = waiting.popleft()
        responses = []
        for index, answer in enumerate([first, *islice(answers, config.samples - 1)]):
            response = reading(prompt, index, answer)
            if isinstance(response, Reject):
                yield response
            else:
                responses.append(response)
        answered = Answers(id=prompt.id, prompt=prompt, responses=tuple(responses))
        yield answered if responses else Reject(answered, "no_response")


def estimate(samples: int, prompts: int) -> Estimate:
    """K calls a prompt."""
    return Estimate(records=prompts, model_calls=prompts * samples)


def estimate_sample(algorithm: OnlineAlgorithm, prompts: int, model: int) -> Estimate:
    """K calls a prompt of one iteration (the model's curve has no part in it)."""
    return estimate(algorithm.samples, prompts if algorithm.prompts is None else min(prompts, algorithm.prompts))
