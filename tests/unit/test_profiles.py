"""The three profiles decide as the paper, as the released scripts and as our own reasons say, on hand-made files."""

import json
from types import SimpleNamespace

import msgspec
import pytest
from scripted import Scripted

from autoif import jsonrows
from autoif.border import load
from autoif.execution import ExecutionConfig, ExecutionEngine
from autoif.records import Answers, PreferencePair, SftExample, Verifier
from autoif.stage import run_stage
from autoif.store import Store
from autoif.synthesis.graph import synthesis
from autoif.training.graph import training


def answers_in(*texts):
    return f"def evaluate(response):\n    return response in {list(texts)!r}"


def run(engine, folder, profile, kind, rows, *settings, reply=lambda request: ""):
    """Every stage of a profile on a file: title → (kept, [(reason, record)])."""
    path = folder / f"{kind}.jsonl"
    jsonrows.write_lines(path, rows)
    config = load([f"pipeline={profile}", f"pipeline.start.kind={kind}", f"pipeline.start.path={path}", *settings])
    made = synthesis(config)
    engines = SimpleNamespace(execution=engine, supervisor=Scripted(reply))
    store, found = Store(folder / "store"), {}
    stages = list(made.stages)
    if made.found.get("scored"):
        stages += [stage for stage in training(config, config.algorithm, made) if stage.name == "preference_dataset"]
    for stage in stages:
        if stage.record in (Verifier, Answers, SftExample, PreferencePair) and all(
            source.title in found for source in stage.inputs
        ):
            manifest = run_stage(stage, store, engines)
            entry = stage.entry(store)
            dropped = [json.loads(row) for row in entry.rejected_path.read_text().split("\n") if row]
            assert sum(manifest.rejected.values()) == len(dropped)
            found[stage.title] = (list(entry.records(stage.record)), [(d["reason"], d["record"]) for d in dropped])
    return found


# --- cross verification: three functions, eleven cases

TEXTS = [f"c{n}" for n in range(11)]
EXACT = answers_in(*TEXTS[:10])
EIGHT = answers_in(*TEXTS[:8])  # right on 8 of the 10 that some function agrees with
SEVEN = answers_in(*TEXTS[:7])
CASES = [(text, True) for text in TEXTS]  # no function agrees with the last one


def replies(functions, cases):
    """K replies as a model writes them, the cases dealt out."""
    share = -(-len(cases) // len(functions))
    groups = [cases[i * share : (i + 1) * share] for i in range(len(functions))]
    bodies = [
        {"func": code, "cases": [{"input": text, "output": value} for text, value in group]}
        for code, group in zip(functions, groups, strict=True)
    ]
    return [f"```json\n{json.dumps(body)}\n```" for body in bodies]


def written(functions, cases=CASES, instruction="Say one of ten words"):
    return {"prompt": "p", "instruction": instruction, "gpt-answer": replies(functions, cases)}


def vote(engine, tmp_path, profile, *rows):
    kept, dropped = run(engine, tmp_path, profile, "eval_func_rft", rows, "pipeline.back_translate.enabled=false")[
        "cross_verify"
    ]
    return kept, [reason for reason, _ in dropped]


def test_upstream_keeps_what_any_function_agrees_with_and_functions_from_eight_tenths_of_that(engine, tmp_path):
    (row,), dropped = vote(engine, tmp_path, "upstream", written([EXACT, EIGHT, SEVEN]))
    assert [case.input for case in row.cases] == TEXTS[:10]
    assert [(f.code, f.accuracy) for f in row.functions] == [(EXACT, 1.0), (EIGHT, 0.8)]
    assert dropped == ["case_below_threshold", "function_below_threshold"]


def test_the_paper_counts_all_cases_and_asks_for_more_than_half(engine, tmp_path):
    (row,), dropped = vote(engine, tmp_path, "paper", written([EXACT, EIGHT, SEVEN]))
    assert [case.input for case in row.cases] == TEXTS[:8]
    assert [(f.code, f.accuracy) for f in row.functions] == [(EXACT, 10 / 11), (EIGHT, 8 / 11), (SEVEN, 7 / 11)]
    assert dropped == ["case_below_threshold"] * 3


@pytest.mark.parametrize(
    ("functions", "cases", "reason"),
    [
        ([EXACT, EIGHT], CASES, "too_few_functions_written"),
        ([EXACT, EIGHT, "def evaluate(response:"], CASES, "too_few_functions_written"),
        ([EXACT, EXACT, EIGHT], CASES, "too_few_functions_written"),
        ([EXACT, EIGHT, SEVEN], CASES[:9], "too_few_cases_written"),
    ],
)
def test_upstream_wants_three_functions_that_load_and_ten_cases_before_it_looks(
    engine, tmp_path, functions, cases, reason
):
    kept, dropped = vote(engine, tmp_path, "upstream", written(functions, cases))
    assert (kept, dropped[-1]) == ([], reason)
    assert len(vote(engine, tmp_path, "paper", written(functions, cases))[0]) == 1


def test_a_crash_on_a_case_is_a_failure_in_every_profile(engine, tmp_path):
    picky = f"def evaluate(response):\n    return {{text: True for text in {TEXTS[:7]!r}}}[response]"
    for profile, left in (("upstream", 2), ("paper", 3)):
        (row,), _ = vote(engine, tmp_path, profile, written([EXACT, EIGHT, picky]))
        assert len(row.functions) == left


def test_the_same_input_with_both_outputs_is_settled_by_vote_or_dropped_whole(engine, tmp_path):
    row = written([EXACT, EIGHT, SEVEN], [*CASES[:10], ("c0", False)])
    (kept,), _ = vote(engine, tmp_path, "paper", row)
    assert [(c.input, c.expected) for c in kept.cases if c.input == "c0"] == [("c0", True)]
    (kept,), dropped = vote(engine, tmp_path, "best", row)
    assert [c.input for c in kept.cases if c.input == "c0"] == []
    assert dropped.count("case_contradicts_itself") == 2


# --- NLI: labels are in the file, the classifier is not needed

OTHER = answers_in("c0", "c1", "x")


def labelled(*labels, functions=(EXACT, EIGHT, SEVEN, OTHER)):
    return {
        "instruction": "Say one of ten words",
        "eval_func": [[code, 1.0] for code in functions],
        "cases": [["c0", True], ["no", False]],
        "back_instruction": [f"Read {n}." for n in range(len(labels))],
        "nli_scores": list(labels),
    }


def read_back(engine, tmp_path, profile, *labels):
    found = run(engine, tmp_path, profile, "back_trans", [labelled(*labels)], "pipeline.mutation_check.enabled=false")
    kept, dropped = found["nli_filter"]
    return [f.code for row in kept for f in row.functions], [reason for reason, _ in dropped]


@pytest.mark.parametrize("profile", ["paper", "upstream"])
def test_one_contradiction_drops_the_instruction(engine, tmp_path, profile):
    codes, dropped = read_back(engine, tmp_path, profile, "entailment", "contradiction", "neutral")
    assert (codes, dropped) == ([], ["nli_contradiction", "back_translation_disagrees"])
    codes, dropped = read_back(engine, tmp_path, profile, "entailment", "neutral", "neutral")
    assert (codes, dropped) == ([EXACT, EIGHT, SEVEN, OTHER], [])


def test_best_drops_the_function_that_was_read_as_something_else(engine, tmp_path):
    codes, dropped = read_back(engine, tmp_path, "best", "entailment", "contradiction", "neutral")
    assert (codes, dropped) == ([EXACT, SEVEN, OTHER], ["nli_contradiction"])


# --- responses

CRASH = "def evaluate(response):\n    return 1 / 0"
SILENT = "def evaluate(response):\n    if response == 'c0': return True"


def answered(functions, *texts):
    return {
        "prompt": "p\n[instruction] say a word\n[Query] what now",
        "instruction": "say a word",
        "cases": [],
        "eval_func": [[code, 1.0] for code in functions],
        "gpt-answer": list(texts),
    }


def judged(engine, tmp_path, profile, *row):
    settings = ("pipeline.score.enabled=false", "pipeline.check_functions.enabled=false", "algorithm=offline_dpo")
    rows = [answered(*row)]
    found = run(engine, tmp_path, profile, "query_rft", rows, *settings, "pipeline.mutation_check.enabled=false")
    kept, dropped = found["verify_responses"]
    rows = kept or [msgspec.convert(record, Answers) for reason, record in dropped if reason == "no_response_passed"]
    return [(r.text, r.accuracy, r.dropped) for r in rows[0].responses], found


@pytest.mark.parametrize(
    ("profile", "verdicts"),
    [
        ("upstream", [("c9", 1 / 3, None), ("c0", 1.0, None), ("no", 0.0, "response_below_threshold")]),
        (
            "paper",
            [("c9", 1 / 3, "response_below_threshold"), ("c0", 1.0, None), ("no", 0.0, "response_below_threshold")],
        ),
    ],
)
def test_upstream_keeps_a_response_that_any_function_accepts(engine, tmp_path, profile, verdicts):
    assert judged(engine, tmp_path, profile, (EXACT, EIGHT, SEVEN), "c9", "c0", "no")[0] == verdicts


@pytest.mark.parametrize("profile", ["upstream", "paper", "best"])
def test_crashes_are_left_out_and_no_evidence_at_all_is_no_negative(engine, tmp_path, profile):
    verdicts, _ = judged(engine, tmp_path, profile, (EXACT, CRASH), "c0", "no")
    assert [(text, rate) for text, rate, _ in verdicts] == [("c0", 1.0), ("no", 0.0)]
    verdicts, found = judged(engine, tmp_path, profile, (CRASH,), "c0", "no")
    assert verdicts == [("c0", None, "no_evidence"), ("no", None, "no_evidence")]
    assert not found["preference_dataset"][0]


def test_a_function_that_returns_nothing_says_no_or_nothing(engine, tmp_path):
    for profile, rate in (("upstream", 1.0), ("paper", 0.5)):
        verdicts, _ = judged(engine, tmp_path, profile, (EXACT, SILENT), "c1")
        assert verdicts[0][1] == rate


def test_a_crash_can_be_made_to_count_as_a_failure(engine, tmp_path):
    settings = ("pipeline.score.enabled=false", "pipeline.verify_responses.crashes=failed")
    found = run(engine, tmp_path, "paper", "query_rft", [answered((EXACT, CRASH), "c0")], *settings)
    assert "response_below_threshold" in [reason for reason, _ in found["verify_responses"][1]]


# --- scores


def scored(*groups):
    return [
        {"instruction": "say a word", "query": "what now", "response": f"r{n}", "prompt": "p", "gen": list(replies)}
        for n, replies in enumerate(groups)
    ]


@pytest.mark.parametrize(("profile", "kept"), [("upstream", ["r1", "r2", "r3"]), ("paper", ["r0", "r1", "r2", "r3"])])
def test_upstream_wants_a_mean_above_eight_the_paper_eight(engine, tmp_path, profile, kept):
    rows = scored(
        ["Fine.\nScore: 8"], ["Score: 9"], ["Score: 10", "Score: 8"], ["Score: 8", "no idea", "Score: 9"], ["?"]
    )
    found = run(engine, tmp_path, profile, "query_rft_score", rows)
    assert sorted(row.messages[1].content for row in found["sft_dataset"][0]) == kept
    assert {reason for reason, _ in found["score"][1]} <= {"score_below_threshold", "score_unreadable"}


# --- what is trained on


@pytest.mark.parametrize(
    ("profile", "query", "text"),
    [
        ("upstream", "what now", "What now. Say a word."),
        ("upstream", "what now?", "What now? Say a word."),
        ("upstream", "tell me. now", "Tell me. now Say a word."),
        ("paper", "what now", "say a word.\nwhat now"),
    ],
)
def test_prompts_are_joined_as_each_profile_says(engine, tmp_path, profile, query, text):
    row = scored(["Score: 10"])[0] | {"query": query}
    found = run(engine, tmp_path, profile, "query_rft_score", [row])
    assert found["sft_dataset"][0][0].messages[0].content == text


@pytest.mark.parametrize(("profile", "chosen"), [("upstream", ["all", "half"]), ("paper", ["all"])])
def test_half_is_a_positive_for_upstream_and_crossed_with_two_negatives(engine, tmp_path, profile, chosen):
    texts = [
        ["all", 1.0],
        ["half", 0.5],
        ["half", 0.5],
        ["less", 0.4],
        ["none", 0.0],
        ["none", 0.0],
        ["nil", 0.0],
        ["no", 0.0],
    ]
    rows = [{"query": "Say a word.", "response": texts}]
    found = run(engine, tmp_path, profile, "dpo_query_eval_score_results", rows, "algorithm=offline_dpo")
    pairs = [(pair.chosen, pair.rejected) for pair in found["preference_dataset"][0]]
    assert pairs == [(good, bad) for good in chosen for bad in ("none", "nil")]


def test_every_row_of_the_decision_table_is_a_setting_in_which_the_profiles_differ():
    profiles = {name: load([f"pipeline={name}"]).pipeline for name in ("paper", "upstream", "best")}
    differ = {
        "cross_verify.case_threshold": (0.5, 0.0),
        "cross_verify.function_threshold": (0.5, 0.8),
        "cross_verify.min_functions_written": (0, 3),
        "cross_verify.min_cases_written": (0, 10),
        "back_translate.functions": (None, 3),
        "back_translate.together": (False, True),
        "verify_responses.threshold": (0.5, 0.0),
        "score.lowest": (1, 0),
        "preference.instruction_level": (True, False),
    }
    for path, values in differ.items():
        section, name = path.split(".")
        assert tuple(getattr(getattr(profiles[p], section), name) for p in ("paper", "upstream")) == values, path
    assert [profiles[p].score.bound.value for p in ("paper", "upstream")] == ["at_least", "above"]
    assert [profiles[p].preference.chosen_bound.value for p in ("paper", "upstream")] == ["above", "at_least"]
    assert [profiles[p].nli.scope.value for p in profiles] == ["instruction", "instruction", "function"]
    assert [profiles[p].mutation_check.enabled for p in profiles] == [False, False, True]
    assert [profiles[p].check_functions.enabled for p in profiles] == [False, False, True]


def test_the_number_of_workers_changes_no_byte(tmp_path):
    rows = [written([EXACT, EIGHT, SEVEN, OTHER, CRASH], instruction=f"Say word {n}") for n in range(6)]
    responses = [
        answered((EXACT, EIGHT, SEVEN, CRASH), *TEXTS, "no") | {"prompt": f"[Query] what {n}"} for n in range(6)
    ]
    off = ("pipeline.back_translate.enabled=false", "pipeline.score.enabled=false", "algorithm=offline_dpo")
    found = []
    for workers in (1, 2, 4):
        with ExecutionEngine(ExecutionConfig(workers=workers)) as engine:
            folder = tmp_path / str(workers)
            folder.mkdir()
            run(engine, folder, "best", "eval_func_rft", rows, *off)
            run(engine, folder, "best", "query_rft", responses, *off)
            files = sorted((folder / "store").rglob("*.jsonl"))
            found.append({path.relative_to(folder): path.read_bytes() for path in files})
    assert found[0] == found[1] == found[2]
    names = {path.parts[1] for path in found[0]}
    assert {"cross_verify", "mutation_check", "observe_responses", "check_functions", "narrow_answers"} <= names
