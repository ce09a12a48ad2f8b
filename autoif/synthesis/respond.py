"""Responses: K samples for each (instruction, query), from the supervisor or from the model that is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from autoif.config import OnlineDpoAlgorithm, RespondConfig
from autoif.generation import Completion, Generator, Request, Sampling
from autoif.generation.base import user
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
    config: RespondConfig = context.config
    sampling = Sampling(temperature=config.temperature, top_p=config.top_p, max_tokens=config.max_tokens)
    brief = render("respond_brief", words=config.max_words) if config.max_words else ""

    def ask(prompt: Prompt) -> str:
        return render("respond", instruction=prompt.instruction, query=prompt.query, brief=brief).strip()

    yield from _answers(context.engines.supervisor, prompts, ask, sampling, config.samples, context.seed)


def sample(context: Context, prompts: Rows[Prompt], model: Rows[Record]) -> Iterator[Answers | Reject]:
    """The current model answers the training prompts K times, as it will be asked later (paper §3.3, online)."""
    config: SampleConfig = context.config
    sampling = Sampling(temperature=config.temperature, top_p=config.top_p, max_tokens=config.max_tokens)
    policy = context.engines.policy(model.files / "model", model.entry.fingerprint)
    try:
        chosen = islice(prompts, config.prompts)
        yield from _answers(policy, chosen, lambda prompt: prompt.text, sampling, config.samples, context.seed)
    finally:
        policy.close()


def _answers(
    generator: Generator,
    prompts: Iterable[Prompt],
    ask: Callable[[Prompt], str],
    sampling: Sampling,
    samples: int,
    seed: int,
) -> Iterator[Answers | Reject]:
    waiting: list[Prompt] = []

    def requests() -> Iterator[Request]:
        for prompt in prompts:
            waiting.append(prompt)
            messages = user(ask(prompt))
            for index in range(samples):
                yield Request(messages=messages, sampling=sampling, index=index, seed=seed)

    answers = generator.generate(requests())
    for first in answers:
        prompt = waiting.pop(0)
        responses = []
        for index, answer in enumerate([first, *islice(answers, samples - 1)]):
            if not isinstance(answer, Completion):
                yield Reject(Reply(id=prompt.id, index=index, text=answer.detail), answer.reason)
                continue
            dropped = None if answer.text.strip() else "empty"
            if answer.finish == "length":
                dropped = "cut_off"
            responses.append(Response(index=index, text=answer.text.strip(), dropped=dropped))
        answered = Answers(id=prompt.id, prompt=prompt, responses=tuple(responses))
        yield answered if responses else Reject(answered, "no_response")


def estimate(samples: int, prompts: int) -> Estimate:
    """K calls a prompt."""
    return Estimate(records=prompts, model_calls=prompts * samples)


def estimate_sample(algorithm: OnlineDpoAlgorithm, prompts: int, model: int) -> Estimate:
    """K calls a prompt of one iteration (the model's curve has no part in it)."""
    return estimate(algorithm.samples, prompts if algorithm.prompts is None else min(prompts, algorithm.prompts))
