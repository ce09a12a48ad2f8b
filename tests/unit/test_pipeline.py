"""The graph of a run: ordered, shared as far as two configurations agree, and silent about what does not matter."""

import dataclasses
from enum import Enum

import pytest

from autoif.border import load
from autoif.config import (
    Data,
    GrpoAlgorithm,
    ModelConfig,
    OfflineDpoAlgorithm,
    OnlineDpoAlgorithm,
    OpenAISupervisor,
    QuerySource,
    Reference,
    RunConfig,
    SftAlgorithm,
    Start,
)
from autoif.pipeline import build
from autoif.planning import plan
from autoif.stage import Stage
from autoif.store import Store
from autoif.synthesis.graph import synthesis

ALGORITHMS = {
    "sft": SftAlgorithm,
    "offline": OfflineDpoAlgorithm,
    "online": OnlineDpoAlgorithm,
    "grpo": GrpoAlgorithm,
}


def config(algorithm="online", **fields):
    """A whole run with a supervisor behind an address and a model of the hub: nothing of either is opened."""
    made = RunConfig(
        supervisor=OpenAISupervisor(model="teacher", base_url="http://127.0.0.1:9/v1"),
        model=ModelConfig(name="m", path="org/model"),
        algorithm=ALGORITHMS[algorithm](name=algorithm, **fields),
    )
    made.pipeline.queries.source = QuerySource.shipped
    return made


def titles(stages):
    return [stage.title for stage in stages]


def places(made, tmp_path):
    return {stage.title: stage.entry(Store(tmp_path)).fingerprint for stage in build(made)}


def changed(one, other, tmp_path):
    before, after = places(one, tmp_path), places(other, tmp_path)
    assert before.keys() == after.keys()
    return [title for title in before if before[title] != after[title]]


SYNTHESIS = ["self_instruct", "write_verifiers", "cross_verify", "back_translate", "nli_filter", "queries"]
SYNTHESIS += ["attach_queries", "respond", "verify_responses", "score", "sft_dataset"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_stages_stand_behind_their_inputs_under_titles_of_their_own(algorithm):
    stages = build(config(algorithm))
    assert len(set(titles(stages))) == len(stages)
    for position, stage in enumerate(stages):
        assert all(source in stages[:position] for source in stage.inputs)
        assert stage.record.__doc__
    assert titles(stages)[: len(SYNTHESIS)] == SYNTHESIS


@pytest.mark.parametrize(
    ("algorithm", "fields", "trained"),
    [
        ("sft", {}, ["train_sft"]),
        ("offline", {}, ["train_sft", "preference_dataset", "train_dpo"]),
        ("online", {}, ["train_sft", "sample_1", "verify_samples_1", "online_pairs_1", "train_dpo_1"]),
        ("grpo", {}, ["train_sft", "sample_1", "verify_samples_1", "answer_groups_1", "train_grpo_1"]),
        (
            "online",
            {"iterations": 2},
            ["train_sft"]
            + [f"{n}_{i}" for i in (1, 2) for n in ("sample", "verify_samples", "online_pairs", "train_dpo")],
        ),
    ],
)
def test_each_algorithm_adds_its_own_stages(algorithm, fields, trained):
    stages = titles(build(config(algorithm, **fields)))[len(SYNTHESIS) :]
    assert stages[: len(trained)] == trained


def inputs(stages, title):
    return titles(next(stage for stage in stages if stage.title == title).inputs)


def test_online_iterations_sample_from_the_last_model_against_a_fixed_or_a_moving_reference():
    for reference, second in ((Reference.sft, "train_sft"), (Reference.previous, "train_dpo_1")):
        stages = build(config("online", iterations=2, reference=reference))
        assert inputs(stages, "sample_1") == ["attach_queries", "train_sft"]
        assert inputs(stages, "sample_2") == ["attach_queries", "train_dpo_1"]
        assert inputs(stages, "train_dpo_1") == ["online_pairs_1", "train_sft", "train_sft"]
        assert inputs(stages, "train_dpo_2") == ["online_pairs_2", "train_dpo_1", second]


def test_the_sharegpt_baseline_learns_from_conversations_and_leaves_out_what_it_does_not_need():
    made = config("sft")
    made.data.kind = Data.sharegpt
    stages = build(made)
    assert inputs(stages, "train_sft") == ["conversations"]
    assert not {"respond", "attach_queries", "sft_dataset"} & set(titles(stages))
    assert {"nli_filter", "heldout_prompts"} < set(titles(stages))  # what it is measured with
    made.evaluation.heldout.limit = 0
    assert titles(build(made))[:3] == ["queries", "conversations", "train_sft"]


def test_conversations_need_no_queries_where_a_run_starts_from_samples(tmp_path):
    made = config("sft")
    made.data.kind, made.evaluation.heldout.limit = Data.mixed, 0
    made.pipeline.start.kind, made.pipeline.start.path = Start.sft, str(tmp_path / "sft.json")
    (tmp_path / "sft.json").write_text("[]")
    read = next(stage for stage in build(made) if stage.name == "conversations")
    assert read.inputs == ()
    assert read.estimate().records == made.data.conversations


def test_with_a_seed_for_the_data_a_runs_own_moves_training_and_evaluation_only(tmp_path):
    one, other = config("online"), config("online")
    one.pipeline.seed = other.pipeline.seed = 0
    other.seed = 1
    moved = changed(one, other, tmp_path)
    same = [title for title in titles(build(one)) if title not in moved]
    assert same == [*SYNTHESIS, "heldout_prompts"]
    other.pipeline.seed = None
    assert set(changed(one, other, tmp_path)) > {"self_instruct", "respond", "heldout_prompts"}


def test_a_mix_joins_verified_answers_and_the_conversations_that_the_baseline_learns_from(tmp_path):
    made, baseline = config("online"), config("sft")
    made.data.kind, baseline.data.kind = Data.mixed, Data.sharegpt
    stages = build(made)
    assert inputs(stages, "mix_examples") == ["sft_dataset", "conversations"]
    assert inputs(stages, "train_sft") == ["mix_examples"]
    assert "sample_1" in titles(stages)
    assert places(made, tmp_path)["conversations"] == places(baseline, tmp_path)["conversations"]
    other = config("online")
    other.data.kind, other.data.general_share = Data.mixed, 0.5
    assert changed(made, other, tmp_path)[0] == "mix_examples"


@pytest.mark.parametrize(
    ("section", "missing"),
    [("cross_verify", {"cross_verify"}), ("back_translate", {"back_translate", "nli_filter"}), ("score", {"score"})],
)
def test_disabled_filters_are_left_out_and_the_rest_is_joined_up(section, missing):
    made = config("offline")
    getattr(made.pipeline, section).enabled = False
    stages = build(made)
    assert titles(stages)[: len(SYNTHESIS) - len(missing)] == [name for name in SYNTHESIS if name not in missing]
    for stage in stages:
        assert not set(titles(stage.inputs)) & missing


@pytest.mark.parametrize(
    ("section", "value", "first"),
    [
        (("cross_verify", "case_threshold"), 0.7, "cross_verify"),
        (("nli", "drop"), ["contradiction", "neutral"], "nli_filter"),
        (("respond", "samples"), 5, "respond"),
        (("verify_responses", "threshold"), 0.8, "verify_responses"),
        (("score", "threshold"), 9.0, "score"),
        (("sft_dataset", "fraction"), 0.5, "sft_dataset"),
    ],
)
def test_a_changed_setting_leaves_what_stands_before_it_shared(tmp_path, section, value, first):
    one, other = config("offline"), config("offline")
    setattr(getattr(other.pipeline, section[0]), section[1], value)
    stages = build(one)
    behind = {first}
    for stage in stages:
        if behind & set(titles(stage.inputs)):
            behind.add(stage.title)
    # The threshold also says which held-out answers count as following the instruction.
    if first == "verify_responses":
        behind |= {s for s in titles(stages) if s.startswith("answer_heldout")} | {"results", "comparisons"}
    assert set(changed(one, other, tmp_path)) == behind


def test_a_late_change_shares_the_whole_synthesis(tmp_path):
    one, other = config("offline"), config("offline")
    other.algorithm.dpo.beta = 0.1
    assert changed(one, other, tmp_path)[0] == "train_dpo"


def leaves(value, path=()):
    """Every plain field below a dataclass, with whether it is part of what a result is."""
    for field in dataclasses.fields(value):
        child = getattr(value, field.name)
        if dataclasses.is_dataclass(child):
            yield from leaves(child, (*path, field.name))
        else:
            yield (*path, field.name), field.metadata.get("identity", True)


def other_value(value):
    match value:
        case bool():
            return not value
        case Enum():
            return next(choice for choice in type(value) if choice is not value)
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case list():
            return [*value, "x"]
        case None:
            return 1
    raise AssertionError(f"no other value than {value!r} is known")


def whole():
    """A run with every stage that can be left out."""
    made = config("offline")
    pipeline = made.pipeline
    for section in (pipeline.near_duplicates, pipeline.mutation_check, pipeline.check_functions):
        section.enabled = True
    pipeline.compose.constraints = 2
    pipeline.contamination.drop = True
    pipeline.sft_dataset.per_prompt = 2
    return made


def mutated(path, made=None):
    made = made or config("offline")
    holder = made
    for name in path[:-1]:
        holder = getattr(holder, name)
    setattr(holder, path[-1], other_value(getattr(holder, path[-1])))
    return made


# The option's name, and what changes the graph itself or which file is read.
NOT_COMPARED = {("pipeline", "name"), ("pipeline", "queries", "source"), ("pipeline", "start", "kind")}
PATHS = {("pipeline", part, "path") for part in ("queries", "start")} | {("pipeline", "self_instruct", "seeds")}
PATHS |= {("pipeline", "start", "sft")}
NOT_COMPARED |= {("pipeline", "contamination", part) for part in ("drop", "benchmarks")}
COMPARED = [
    pytest.param(path, identity, id=".".join(path))
    for section in ("pipeline", "execution", "supervisor")
    for path, identity in leaves(getattr(config("offline"), section), (section,))
    if path not in NOT_COMPARED | PATHS and path[-1] != "enabled"
]


@pytest.mark.parametrize(("path", "identity"), COMPARED)
def test_every_setting_changes_a_place_unless_it_only_changes_how_fast_or_where(tmp_path, path, identity):
    assert bool(changed(whole(), mutated(path, whole()), tmp_path)) is identity


@pytest.mark.parametrize("section", ["hardware", "tracking", "paths"])
def test_hardware_tracking_and_paths_change_no_place(tmp_path, section):
    for path, _ in leaves(getattr(config(), section), (section,)):
        assert changed(config("offline"), mutated(path), tmp_path) == [], path


def test_the_name_of_a_run_changes_no_place_and_its_seed_every_drawn_one(tmp_path):
    one, other = config(), config()
    other.name = "other"
    assert changed(one, other, tmp_path) == []
    other.seed = 1
    assert changed(one, other, tmp_path) == titles(build(one))


def test_the_content_of_a_file_is_identity_its_path_is_not(tmp_path):
    made = []
    for name, text in (("a", "Use one word."), ("b", "Use one word."), ("c", "Use two words.")):
        (tmp_path / name).write_text(text)
        made.append(config("offline"))
        made[-1].pipeline.self_instruct.seeds = str(tmp_path / name)
    assert "self_instruct" in changed(made[0], made[2], tmp_path)
    assert changed(made[0], made[1], tmp_path) == []


def test_a_prompts_text_is_identity(tmp_path, monkeypatch):
    from autoif.synthesis import prompts

    before = places(config(), tmp_path)
    original = prompts.prompt_text
    monkeypatch.setattr(prompts, "prompt_text", lambda name: original(name) + ("!" if name == "score" else ""))
    after = places(config(), tmp_path)
    assert next(title for title in before if before[title] != after[title]) == "score"


def test_a_plan_bounds_every_stage(tmp_path):
    rows = plan(build(config("offline")), Store(tmp_path))
    counts = {row.title: row for row in rows}
    assert counts["self_instruct"].model_calls > 0
    assert counts["respond"].model_calls == counts["attach_queries"].records * config().pipeline.respond.samples
    assert counts["cross_verify"].executions > 0


def test_the_synthesis_part_names_what_later_parts_start_from():
    made = synthesis(config())
    assert [made.verified.title, made.queries.title, made.prompts.title] == ["nli_filter", "queries", "attach_queries"]
    assert (made.scored.title, made.examples.title) == ("score", "sft_dataset")
    assert all(isinstance(stage, Stage) for stage in made.stages)


def test_checks_of_functions_narrow_what_everything_behind_them_uses():
    made = config("online")
    made.pipeline.check_functions.enabled = True
    stages = build(made)
    assert inputs(stages, "check_functions") == ["nli_filter", "observe_responses"]
    assert inputs(stages, "verify_responses") == ["narrow_answers"]
    assert inputs(stages, "sample_1") == ["attach_queries_checked", "train_sft"]
    assert inputs(stages, "heldout_prompts") == ["check_functions", "queries"]


def test_optional_stages_stand_where_they_save_most():
    stages = titles(build(whole()))
    for before, after in (
        ("near_duplicates", "write_verifiers"),
        ("cross_verify", "mutation_check"),
        ("mutation_check", "back_translate"),
        ("nli_filter", "compose"),
        ("compose", "attach_queries"),
        ("check_functions", "verify_responses"),
    ):
        assert stages.index(before) < stages.index(after)


def test_the_rounds_may_attach_more_queries_than_the_supervisor_answers() -> None:
    stages = {stage.title: stage for stage in build(load(["algorithm.queries_per_instruction=5"]))}
    assert stages["respond"].inputs == (stages["attach_queries"],)
    assert stages["sample_1"].inputs[0] is stages["attach_queries_online"]
    assert stages["attach_queries_online"].config.per_instruction == 5
    assert "attach_queries_online" not in {stage.title for stage in build(load([]))}
