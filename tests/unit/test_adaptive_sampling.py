"""Adaptive sampling: the datasets' caps are filled as under fixed sampling, with fewer calls, and resumably."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chat_server import ChatServer, Reply, chat
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import context, failure, reasons, split

from autoif.config import (
    OfflineDpoAlgorithm,
    OnlineDpoAlgorithm,
    OpenAISupervisor,
    PathsConfig,
    PipelineConfig,
    PreferenceConfig,
    QualityConfig,
    RespondConfig,
    RunConfig,
    ScoreConfig,
    SftAlgorithm,
    SftDatasetConfig,
    VerifyResponsesConfig,
)
from autoif.execution import ExecutionEngine
from autoif.generation import Completion, Request
from autoif.generation.factory import supervisor
from autoif.records import Answers, Function, Prompt, Response, digest
from autoif.stage import Context, Stage, run_stage
from autoif.store import Store
from autoif.synthesis import adaptive, respond
from autoif.synthesis.adaptive import AdaptiveConfig, Wanted
from autoif.synthesis.datasets import preference_dataset, sft_dataset
from autoif.synthesis.verify_responses import verify_responses

LOWER = "def evaluate(response):\n    return response == response.lower()"
SHORT = "def evaluate(response):\n    return len(response) < 20"
GOOD, HALF, BAD, CUT = "short and low", "Short but not low", "LONG AND HIGH AND SO ON", "cut off"


def prompt(number: int) -> Prompt:
    functions = (Function(id="0", code=LOWER), Function(id="1", code=SHORT))
    text = f"topic {number} end"
    return Prompt(id=f"p{number}", verifier_id="v", instruction="i", query=text, text=text, functions=functions)


def pipeline(per_prompt: int | None = 1, **fields: Any) -> PipelineConfig:
    return PipelineConfig(
        sft_dataset=SftDatasetConfig(per_prompt=per_prompt),
        score=ScoreConfig(enabled=fields.pop("score", False)),
        preference=PreferenceConfig(instruction_level=False, **fields),
    )


def wanting(examples: int, chosen: int, rejected: int, **pairs: Any) -> Wanted:
    return Wanted(
        examples=examples,
        verify=VerifyResponsesConfig(),
        chosen=chosen,
        rejected=rejected,
        **{"chosen_threshold": 0.5, **pairs},
    )


def scripted(scripts: Sequence[Sequence[str]]) -> Any:
    """Answers by the prompt's number and the sample's index; a trailing digit tells texts of a kind apart."""

    def answer(request: Request) -> Completion:
        number = int(request.messages[0].content.split("topic ")[1].split(" end")[0])
        text = scripts[number][request.index]
        return Completion(text=text, finish="length" if text.startswith(CUT) else "stop")

    return answer


def sampled(
    engine: ExecutionEngine, scripts: Sequence[Sequence[str]], settings: PipelineConfig, wanted: Wanted | None
) -> tuple[list[Any], list[Any], list[Request]]:
    """SFT samples, pairs and the requests that led to them; fixed sampling where nothing is ``wanted``."""
    fixed = RespondConfig(samples=len(scripts[0]))
    config = fixed if wanted is None else AdaptiveConfig(fixed=fixed, wanted=wanted)
    made = context(config, scripted(scripts), execution=engine)
    draw = respond.respond if wanted is None else adaptive.respond
    rows, _ = split(draw(made, [prompt(number) for number in range(len(scripts))]))
    verified, _ = split(verify_responses(context(VerifyResponsesConfig(), execution=engine), rows))
    examples = list(sft_dataset(context(settings.sft_dataset), verified))
    pairs, _ = split(preference_dataset(context(settings.preference), verified, []))
    return examples, pairs, made.engines.supervisor.requests


texts = st.sampled_from([GOOD, GOOD + " 2", GOOD + " 3", HALF, BAD, BAD + " 2", BAD + " 3", CUT, ""])


@settings(max_examples=30, deadline=None)
@given(
    scripts=st.lists(st.lists(texts, min_size=6, max_size=6), min_size=1, max_size=5),
    per_prompt=st.integers(1, 3),
    chosen=st.integers(1, 2),
    rejected=st.integers(1, 2),
)
def test_caps_are_filled_as_under_fixed_sampling_with_requests_from_among_its(
    engine: ExecutionEngine, scripts: list[list[str]], per_prompt: int, chosen: int, rejected: int
) -> None:
    config = pipeline(per_prompt, max_chosen=chosen, max_rejected=rejected)
    wanted = adaptive.wanted_of_supervisor(config, OfflineDpoAlgorithm())
    examples, pairs, asked = sampled(engine, scripts, config, None)
    fewer_examples, fewer_pairs, fewer_asked = sampled(engine, scripts, config, wanted)
    assert len(fewer_examples) == len(examples)
    assert len(fewer_pairs) == len(pairs)
    assert set(fewer_asked) <= set(asked)
    assert len(set(fewer_asked)) == len(fewer_asked)


def test_a_prompt_is_asked_no_more_once_it_has_what_the_datasets_use(engine: ExecutionEngine) -> None:
    scripts = [
        [GOOD, BAD, *["never asked"] * 6],
        [BAD, BAD + " 2", GOOD, *["never asked"] * 5],
        [GOOD] * 8,  # looks for a negative to the end
        [HALF, GOOD, BAD, *["never asked"] * 5],
    ]
    config = pipeline(1, max_chosen=1, max_rejected=1)
    wanted = adaptive.wanted_of_supervisor(config, OfflineDpoAlgorithm())
    *_, asked = sampled(engine, scripts, config, wanted)
    numbers = [request.messages[0].content.split("topic ")[1].split(" ")[0] for request in asked]
    assert [numbers.count(str(number)) for number in range(4)] == [2, 3, 8, 3]
    for_sft = adaptive.wanted_of_supervisor(config, SftAlgorithm())
    *_, asked = sampled(engine, scripts, config, for_sft)
    numbers = [request.messages[0].content.split("topic ")[1].split(" ")[0] for request in asked]
    assert [numbers.count(str(number)) for number in range(4)] == [1, 3, 1, 2], "SFT alone needs no negatives"


def test_what_is_wanted_follows_from_the_datasets_and_the_scores_to_come() -> None:
    config = pipeline(2, max_chosen=2, max_rejected=3, chosen_threshold=0.8)
    offline = adaptive.wanted_of_supervisor(config, OfflineDpoAlgorithm())
    assert (offline.examples, offline.chosen, offline.rejected) == (2, 2, 3)
    assert offline.chosen_threshold == 0.8
    online = adaptive.wanted_of_supervisor(config, OnlineDpoAlgorithm())
    assert (online.examples, online.chosen, online.rejected) == (2, 0, 0)
    assert adaptive.wanted_of_policy(config, QualityConfig()).rejected == 3
    scored = adaptive.wanted_of_supervisor(pipeline(2, score=True), SftAlgorithm())
    assert scored.examples == 3, "half as many again, for some will score too low"


def test_one_text_twice_is_one_answer_and_nothing_without_evidence_is_a_negative() -> None:
    wanted = wanting(2, 1, 2, chosen_threshold=0.9)

    def answer(text: str, accuracy: float | None, dropped: str | None = None) -> Response:
        return Response(index=0, text=text, accuracy=accuracy, dropped=dropped)

    assert wanted.lacking(prompt(0), []) == 4
    assert wanted.lacking(prompt(0), [answer("a", 1.0), answer("a", 1.0), answer("b", 0.0), answer("b", 0.0)]) == 2
    assert wanted.lacking(prompt(0), [answer("a", 0.6), answer("b", 0.6)]) == 3, "neither is good enough to be chosen"
    assert wanted.lacking(prompt(0), [answer("a", None), answer("", 0.0), answer("b", 1.0, "cut_off")]) == 4
    assert (
        wanted.lacking(prompt(0), [answer("a", 1.0), answer("b", 0.7), answer("c", 0.0, "cut_off"), answer("d", 0.0)])
        == 0
    )


def test_what_has_a_flaw_is_no_answer_to_choose() -> None:
    loop = "again and again " * 20
    wanted = wanting(0, 1, 0, quality=QualityConfig(max_repetition=0.3))
    assert wanted.lacking(prompt(0), [Response(index=0, text=loop, accuracy=1.0)]) == 1
    assert wanted.lacking(prompt(0), [Response(index=0, text="once", accuracy=1.0)]) == 0


def test_settings_that_do_not_change_what_is_wanted_keep_the_answers() -> None:
    half = pipeline(1, fraction=0.5)
    assert adaptive.wanted_of_supervisor(half, OfflineDpoAlgorithm()) == adaptive.wanted_of_supervisor(
        pipeline(1), OfflineDpoAlgorithm()
    )


def test_failures_count_as_samples_and_are_kept_as_evidence(engine: ExecutionEngine) -> None:
    wanted = wanting(1, 0, 0)
    config = AdaptiveConfig(fixed=RespondConfig(samples=3), wanted=wanted)
    kept, dropped = split(adaptive.respond(context(config, failure, execution=engine), [prompt(0), prompt(1)]))
    assert (kept, reasons(dropped)) == ([], [*["content_filter"] * 3, "no_response"] * 2)
    assert [reject.record.index for reject in dropped[:3]] == [0, 1, 2]


def test_answers_are_executed_once(engine: ExecutionEngine) -> None:
    wanted = wanting(1, 0, 0)
    config = AdaptiveConfig(fixed=RespondConfig(samples=3), wanted=wanted)
    rows, _ = split(adaptive.respond(context(config, scripted([[HALF, GOOD, BAD]]), execution=engine), [prompt(0)]))
    jobs: list[Any] = []

    def run(given: Any) -> Any:
        jobs.extend(given)
        return iter(())

    idle: Any = SimpleNamespace(run=run, isolation="none")
    (row,), _ = split(verify_responses(context(VerifyResponsesConfig(), execution=idle), rows))
    assert not jobs
    assert [(r.accuracy, r.dropped) for r in row.responses] == [(0.5, "response_below_threshold"), (1.0, None)]


def policy_answers(number: int) -> list[str]:
    return [GOOD, BAD] if number % 2 else [HALF, BAD, GOOD]


def test_the_policy_is_sampled_adaptively_too_and_closed(engine: ExecutionEngine, tmp_path: Path) -> None:
    prompts: Any = [prompt(number) for number in range(3)]
    dealt = [prompts.index(one) for one in respond.window(prompts, 1, 2, seed=0)]
    scripts = [policy_answers(number) + ["never asked"] * 3 for number in range(3)]
    fixed = respond.SampleConfig(iteration=1, samples=5, temperature=0.8, top_p=0.9, max_tokens=5, prompts=2)
    wanted = adaptive.wanted_of_policy(pipeline(max_chosen=1, max_rejected=1), QualityConfig())
    made = context(AdaptiveConfig(fixed=fixed, wanted=wanted), scripted(scripts), execution=engine)
    policy = made.engines.supervisor
    made.engines.policy = lambda folder, identity: policy
    model: Any = SimpleNamespace(files=tmp_path, entry=SimpleNamespace(fingerprint="abc"))
    rows, _ = split(adaptive.sample(made, prompts, model))
    assert [[response.text for response in row.responses] for row in rows] == [policy_answers(n) for n in dealt]
    assert policy.closed == 1
    assert policy.requests[0].messages[0].content == prompt(dealt[0]).text


# --- as a stage, behind the call cache, against a real server


def handler(body: dict[str, Any]) -> Reply:
    """One of four kinds of answers, by prompt and sample."""
    draw = digest(body["messages"][-1]["content"], str(body["seed"]))
    return chat(body, text=[GOOD, HALF, BAD, GOOD][int(draw, 16) % 4] + f" {draw[:1]}")


def prompts(made: Context) -> list[Prompt]:
    return [prompt(number) for number in range(12)]


def stages() -> tuple[Stage, Stage]:
    first = Stage("prompts", Prompt, prompts)
    wanted = wanting(2, 1, 1)
    config = AdaptiveConfig(fixed=RespondConfig(samples=8), wanted=wanted)
    return first, Stage("respond", Answers, adaptive.respond, config=config, inputs=(first,), chunk=4)


def run(server: ChatServer, folder: Path, engine: ExecutionEngine, stage: Stage, concurrency: int) -> bytes:
    config = RunConfig(
        supervisor=OpenAISupervisor(model="m", base_url=server.url, concurrency=concurrency),
        paths=PathsConfig(cache=str(folder / "cache")),
    )
    answering, store = supervisor(config), Store(folder / "store")
    engines: Any = SimpleNamespace(supervisor=answering, execution=engine)
    try:
        for source in stage.inputs:
            run_stage(source, store, engines)
        facts = run_stage(stage, store, engines).facts
    finally:
        answering.close()
    assert (facts["calls"]["used_in"], facts["calls"]["used_out"]) == (
        7 * server.asked.total(),
        3 * server.asked.total(),
    )
    return stage.entry(store).records_path.read_bytes()


def test_rows_are_the_same_at_any_concurrency_and_after_a_kill(tmp_path: Path, engine: ExecutionEngine) -> None:
    _, stage = stages()
    with ChatServer(handler) as server:
        alone = run(server, tmp_path / "alone", engine, stage, 1)
        once = server.asked.total()
    assert 12 * 3 <= once < 12 * 8
    with ChatServer(handler, seconds=0.002) as server:
        assert run(server, tmp_path / "many", engine, stage, 32) == alone
    with ChatServer(handler) as server:
        dying = dataclasses.replace(stage, function=dies_at("p6"))
        with pytest.raises(KeyboardInterrupt):
            run(server, tmp_path / "killed", engine, dying, 4)
        before = server.asked.total()
        assert 0 < before < once
        assert run(server, tmp_path / "killed", engine, stage, 4) == alone
        assert server.asked.total() == once, "a finished call was made again"


def dies_at(last: str) -> Any:
    def function(made: Context, rows: Sequence[Prompt]) -> Any:
        for output in adaptive.respond(made, rows):
            if isinstance(output, Answers) and output.id == last:
                raise KeyboardInterrupt
            yield output

    return function
