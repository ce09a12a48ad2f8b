"""Other programs' files: every format of the authors' scripts both ways, training sets as their readers want them."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import context, reasons, split

from autoif import jsonrows
from autoif.border import load
from autoif.config import (
    CrossVerifyConfig,
    ModelConfig,
    NliConfig,
    NliJudge,
    OfflineDpoAlgorithm,
    OpenAISupervisor,
    PromptOrder,
    QuerySource,
    RunConfig,
    Start,
    StartConfig,
    VerifyResponsesConfig,
)
from autoif.errors import ConfigError, DataError
from autoif.interchange.upstream import Kind, read
from autoif.interchange.upstream_export import RECORDS, rows
from autoif.pipeline import build
from autoif.planning import plan
from autoif.records import (
    Answers,
    Case,
    Function,
    Instruction,
    Prompt,
    Response,
    Verifier,
    digest,
    encode,
)
from autoif.stage import run_stage
from autoif.store import Store
from autoif.synthesis.cross_verify import cross_verify
from autoif.synthesis.nli_filter import nli_filter
from autoif.synthesis.verify_responses import verify_responses

LOWER = "def evaluate(response):\n    return response.islower()"
SHORT = "def evaluate(response):\n    return len(response) < 20"
FENCED = (
    "```json\n"
    + json.dumps({"func": LOWER, "cases": [{"input": "low", "output": "True"}, {"input": "UP", "output": "false"}]})
    + "\n```"
)
ASKED = "Please answer.\n[instruction] Use lower case\n[Query] What is [this]?\nTell me."

# A hand-made miniature of each file.
MINIATURES = {
    Kind.seed_instruction: "Use lower case\nUse three words\n",
    Kind.eval_func_rft: [
        {
            "prompt": "p",
            "instruction": "Use lower case",
            "gpt-answer": [FENCED, "no", FENCED, FENCED.replace("islower", "isalpha")],
        }
    ],
    Kind.cross_validation: [
        {
            "instruction": "Use lower case",
            "eval_func": [[LOWER, 1.0], [SHORT, 0.5]],
            "cases": [["low", True], ["UP", "False"], ["x", "maybe"]],
        }
    ],
    Kind.back_trans: [
        {
            "instruction": "Use lower case",
            "eval_func": [[LOWER, 1.0], [SHORT, 0.5]],
            "cases": [["low", True]],
            "back_instruction": ["Write small."],
        },
        {
            "instruction": "Be short",
            "eval_func": [[SHORT, 1.0]],
            "cases": [["low", True]],
            "back_instruction": ["Be brief.", "x"],
            "nli_scores": ["entailment"],
        },
    ],
    Kind.query_rft: [
        {
            "prompt": ASKED,
            "instruction": "Use lower case",
            "cases": [["low", True]],
            "eval_func": [[LOWER, 1.0]],
            "gpt-answer": [" low \n", "UP", ""],
        }
    ],
    Kind.query_rft_score: [
        {
            "instruction": "Use lower case",
            "query": "What?",
            "response": "a",
            "prompt": "p",
            "gen": ["Fine.\n\nScore: 10", "Score: 8"],
        },
        {
            "instruction": "Use lower case",
            "query": "What?",
            "response": "b",
            "prompt": "p",
            "gen": ["no"],
            "beam_unique_id": 4,
        },
        {"instruction": "Use lower case", "query": "Who?", "response": "c", "prompt": "p", "gen": ["**Score:** 9/10"]},
    ],
    Kind.dpo_query_w_funcs: [
        {"prompt": "Use lower case. What?", "eval_func": [[LOWER, 0.7]], "gpt-answer": ["low", "UP"]}
    ],
    Kind.dpo_query_eval_score_results: [{"query": "Use lower case. What?", "response": [["low", 1.0], ["UP", 0.0]]}],
    Kind.sft: [
        {"instruction": "What?", "input": "Now.", "output": "low", "history": [["Hi", "Hello"]]},
        {"instruction": "Who?", "input": "", "output": "me", "history": []},
    ],
    Kind.pairs: [{"instruction": "What?", "positive": "low", "negative": "UP"}],
}


def written(folder, kind, content=None):
    content = MINIATURES[kind] if content is None else content
    path = folder / f"{kind.value}.jsonl"
    if isinstance(content, str):
        path.write_text(content)
    elif kind in (Kind.sft, Kind.pairs):
        jsonrows.write_list(path, content)
    else:
        jsonrows.write_lines(path, content)
    return path


def taken(tmp_path, kind, content=None, **options):
    return split(read(kind, written(tmp_path, kind, content), **options))


@pytest.mark.parametrize("kind", Kind)
def test_every_miniature_is_read_without_loss_of_rows(tmp_path, kind):
    kept, dropped = taken(tmp_path, kind)
    assert kept
    assert not dropped
    assert all(isinstance(record, RECORDS[kind]) for record in kept)


def test_seeds_have_the_ids_the_pipeline_gives_them(tmp_path):
    kept, _ = taken(tmp_path, Kind.seed_instruction)
    assert [(row.text, row.id, row.origin) for row in kept] == [
        (text, digest("instruction", text), "seed") for text in ("Use lower case", "Use three words")
    ]


def test_replies_are_parsed_as_the_models_own_and_identical_ones_count_once(tmp_path):
    ((row,), _) = taken(tmp_path, Kind.eval_func_rft)
    assert [f.code for f in row.functions] == [LOWER, LOWER.replace("islower", "isalpha")]
    assert [(c.input, c.expected) for c in row.cases] == [("low", True), ("UP", False)]
    assert [f.accuracy for f in row.functions] == [None, None]


def test_verified_functions_and_cases_keep_their_numbers(tmp_path):
    ((row,), _) = taken(tmp_path, Kind.cross_validation)
    assert [(f.code, f.accuracy) for f in row.functions] == [(LOWER, 1.0), (SHORT, 0.5)]
    assert [(c.input, c.expected) for c in row.cases] == [("low", True), ("UP", False)]


def test_back_translations_belong_to_the_first_functions(tmp_path):
    (first, second), _ = taken(tmp_path, Kind.back_trans)
    assert [(f.back_translation, f.nli) for f in first.functions] == [("Write small.", None), (None, None)]
    assert [(f.back_translation, f.nli) for f in second.functions] == [("Be brief.", "entailment")]


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (PromptOrder.instruction_first, "Use lower case.\nWhat is [this]?\nTell me."),
        (PromptOrder.query_first, "What is [this]?\nTell me.\nUse lower case."),
    ],
)
def test_the_query_is_found_in_the_prompt_and_joined_as_configured(tmp_path, order, text):
    ((row,), _) = taken(tmp_path, Kind.query_rft, order=order)
    assert (row.prompt.query, row.prompt.text) == ("What is [this]?\nTell me.", text)
    assert [(r.text, r.dropped) for r in row.responses] == [("low", None), ("UP", None), ("", "empty")]
    assert row.prompt.functions[0].code == LOWER


def test_rows_are_read_liberally_where_nothing_is_decided_by_it(tmp_path):
    row = MINIATURES[Kind.query_rft][0]
    told = {"eval_func": [LOWER], "prompt": "Do it: [query]  What is it? \n", "gpt-answer": ["low"]}
    ((answers,), dropped) = taken(tmp_path, Kind.query_rft, [row | told])
    assert (answers.prompt.query, dropped) == ("What is it?", [])
    assert [(f.code, f.accuracy) for f in answers.prompt.functions] == [(LOWER, None)]
    bare = {"instruction": "Use lower case", "eval_func": [LOWER], "back_instruction": None}
    ((verifier,), dropped) = taken(tmp_path, Kind.back_trans, [bare])
    assert (verifier.cases, verifier.functions[0].back_translation, dropped) == ((), None, [])


def test_scores_are_the_mean_of_what_can_be_read_and_neighbours_are_one_prompts(tmp_path):
    (first, second), _ = taken(tmp_path, Kind.query_rft_score)
    assert [(r.index, r.text, r.score, r.dropped) for r in first.responses] == [
        (0, "a", 9, None),
        (1, "b", None, "score_unreadable"),
    ]
    assert [(r.text, r.score) for r in second.responses] == [("c", 9)]


def test_dpo_files_give_answers_with_and_without_accuracies(tmp_path):
    ((row,), _) = taken(tmp_path, Kind.dpo_query_w_funcs)
    assert (row.prompt.text, [r.accuracy for r in row.responses]) == ("Use lower case. What?", [None, None])
    ((row,), _) = taken(tmp_path, Kind.dpo_query_eval_score_results)
    assert [(r.text, r.accuracy) for r in row.responses] == [("low", 1.0), ("UP", 0.0)]


def test_training_rows_become_conversations_and_pairs(tmp_path):
    (first, second), _ = taken(tmp_path, Kind.sft)
    turns = [("user", "Hi"), ("assistant", "Hello"), ("user", "What?\nNow."), ("assistant", "low")]
    assert [(m.role, m.content) for m in first.messages] == turns
    assert [m.content for m in second.messages] == ["Who?", "me"]
    ((pair,), _) = taken(tmp_path, Kind.pairs)
    assert (pair.prompt[0].content, pair.chosen, pair.rejected) == ("What?", "low", "UP")


def test_imported_verifiers_go_on_at_the_vote(tmp_path, engine):
    kept, _ = taken(tmp_path, Kind.eval_func_rft)
    (row,), _ = split(cross_verify(context(CrossVerifyConfig(), execution=engine), kept))
    assert {(c.input, c.accuracy) for c in row.cases} == {("low", 1.0)}


@pytest.mark.parametrize("kind", [Kind.query_rft, Kind.dpo_query_w_funcs])
def test_imported_responses_go_on_at_their_verification(tmp_path, engine, kind):
    kept, _ = taken(tmp_path, kind)
    (row,), _ = split(verify_responses(context(VerifyResponsesConfig(), execution=engine), kept))
    assert [r.accuracy for r in row.responses[:2]] == [1.0, 0.0]


def test_a_number_that_no_float_holds_drops_its_row(tmp_path):
    row = {"instruction": "x", "eval_func": [[LOWER, 10**400]], "cases": []}
    kept, dropped = taken(tmp_path, Kind.cross_validation, [row])
    assert (kept, reasons(dropped)) == ([], ["malformed_row"])


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.seed_instruction])
@pytest.mark.parametrize(
    "row",
    [{}, {"instruction": 3}, {"prompt": None}, {"instruction": "x", "eval_func": 3, "gpt-answer": [4], "cases": None}],
)
def test_a_row_of_another_shape_is_dropped_with_what_is_wrong(tmp_path, kind, row):
    good = len(taken(tmp_path, kind)[0])
    kept, dropped = taken(tmp_path, kind, [*MINIATURES[kind], row])
    assert len(kept) == good
    assert reasons(dropped) == ["malformed_row"]
    assert dropped[0].detail
    assert dropped[0].record.text == json.dumps(row)


def test_a_missing_or_foreign_file_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"^pairs file \S+none: No such file or directory$"):
        list(read(Kind.pairs, tmp_path / "none"))
    (tmp_path / "csv").write_text("a,b\n")
    with pytest.raises(DataError, match=r"^cross_validation file \S+csv: neither a JSON list nor JSONL"):
        list(read(Kind.cross_validation, tmp_path / "csv"))


@pytest.mark.parametrize("kind", Kind)
def test_what_was_read_is_written_and_read_again(tmp_path, kind):
    kept, _ = taken(tmp_path, kind)
    again = list(rows(kind, kept))
    content = "\n".join(again) if kind is Kind.seed_instruction else again
    (tmp_path / "again").mkdir()
    read_again, dropped = taken(tmp_path / "again", kind, content)
    assert not dropped
    if kind is Kind.query_rft_score:  # their file holds no unscored responses
        kept[0] = Answers(id=kept[0].id, prompt=kept[0].prompt, responses=kept[0].responses[:1])
    if kind is Kind.query_rft:  # an empty answer stays one
        assert [r.dropped for r in read_again[0].responses] == [None, None, "empty"]
    assert read_again == kept


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r`"), min_size=1, max_size=12)
CODE = TEXT.map(lambda text: f"def evaluate(response):\n    return response == {text!r}")


@settings(max_examples=60, deadline=None)
@given(
    TEXT,
    st.lists(CODE, min_size=1, max_size=4, unique=True),
    st.lists(st.tuples(TEXT, st.booleans()), min_size=1, max_size=9, unique=True),
)
def test_any_verifier_survives_the_journey_there_and_back(tmp_path_factory, about, codes, cases):
    folder = tmp_path_factory.mktemp("v")
    owner = digest("instruction", about)
    verifier = Verifier(
        id=owner,
        instruction=Instruction(id=owner, text=about, origin="seed"),
        functions=tuple(Function(id=digest("function", owner, code), code=code, accuracy=0.5) for code in codes),
        cases=tuple(Case(input=text, expected=expected) for text, expected in cases),
    )
    for kind in (Kind.cross_validation, Kind.eval_func_rft):
        ((back,), dropped) = taken(folder, kind, list(rows(kind, [verifier])))
        assert not dropped
        assert back.cases == verifier.cases
        assert [f.code for f in back.functions] == codes
        assert back.id == owner


def test_responses_no_function_could_judge_are_not_exported_as_wrong():
    prompt = Prompt(id="p", verifier_id="v", instruction="i", query="q", text="t", functions=())
    responses = (Response(index=0, text="a", accuracy=None), Response(index=1, text="b", accuracy=0.0))
    (row,) = rows(Kind.dpo_query_eval_score_results, [Answers(id="p", prompt=prompt, responses=responses)])
    assert row["response"] == [["b", 0.0]]
    assert not list(rows(Kind.dpo_query_eval_score_results, [Answers(id="p", prompt=prompt, responses=responses[:1])]))


# --- starting a run from a file


def begin(kind, path, **fields):
    made = RunConfig(
        supervisor=OpenAISupervisor(model="teacher", base_url="http://127.0.0.1:9/v1"),
        model=ModelConfig(name="m", path="org/model"),
        algorithm=OfflineDpoAlgorithm(name="offline"),
    )
    made.pipeline.queries.source = QuerySource.shipped
    made.pipeline.start = StartConfig(kind=kind, path=str(path), **fields)
    return made


STARTS = {
    Start.eval_func_rft: ["cross_verify", "back_translate", "nli_filter", "queries", "attach_queries", "respond"],
    Start.cross_validation: ["back_translate", "nli_filter", "queries", "attach_queries", "respond"],
    Start.back_trans: ["nli_filter", "queries", "attach_queries", "respond"],
    Start.query_rft: ["queries", "attach_queries", "import_answers"],
}


@pytest.mark.parametrize("kind", STARTS)
def test_a_run_that_starts_from_a_file_leaves_out_what_stands_before_it(tmp_path, kind):
    made = begin(kind, written(tmp_path, Kind(kind.value)))
    stages = build(made)
    titles = [stage.title for stage in stages]
    expected = ["import_verifiers", *STARTS[kind], "verify_responses", "score", "sft_dataset"]
    assert titles[: len(expected)] == expected
    assert all(source in stages for stage in stages for source in stage.inputs)
    rows_ = plan(stages, Store(tmp_path / "store"))
    assert [row.title for row in rows_] == titles


def test_files_of_the_same_content_share_a_place_others_do_not(tmp_path):
    (tmp_path / "b").mkdir()
    paths = [written(tmp_path, Kind.back_trans), written(tmp_path / "b", Kind.back_trans)]
    entries = [build(begin(Start.back_trans, path))[0].entry(Store(tmp_path)).fingerprint for path in paths]
    assert entries[0] == entries[1]
    paths[1].write_text(paths[1].read_text() + "\n")
    assert build(begin(Start.back_trans, paths[1]))[0].entry(Store(tmp_path)).fingerprint != entries[0]


def test_imported_answers_go_through_the_filters_to_both_training_sets(tmp_path, engine):
    path = written(tmp_path, Kind.query_rft, MINIATURES[Kind.query_rft] * 2)
    store = Store(tmp_path / "store")
    made = begin(Start.query_rft, path)
    made.pipeline.score.enabled = False
    engines = SimpleNamespace(execution=engine)
    manifests = {}
    for stage in build(made):
        if stage.title in (
            "queries",
            "import_verifiers",
            "import_answers",
            "verify_responses",
            "sft_dataset",
            "preference_dataset",
        ):
            manifests[stage.title] = run_stage(stage, store, engines)
    assert manifests["import_verifiers"].kept == 1
    assert (manifests["import_answers"].kept, manifests["import_answers"].rejected) == (1, {"duplicate": 1})
    assert manifests["sft_dataset"].kept == 1
    assert manifests["preference_dataset"].kept == 1


def test_functions_that_were_labelled_or_never_read_back_are_not_judged_again(tmp_path):
    kept, _ = taken(tmp_path, Kind.back_trans)
    made = context(NliConfig(judge=NliJudge.supervisor), lambda request: "entailment")
    rows_, dropped = split(nli_filter(made, kept))
    assert len(made.engines.supervisor.requests) == 1
    assert [[f.nli for f in row.functions] for row in rows_] == [["entailment", None], ["entailment"]]
    assert not dropped


@pytest.mark.parametrize("settings_", [["pipeline.start.kind=query_rft"], ["pipeline.start.path=x.jsonl"]])
def test_half_a_start_is_a_mistake_that_is_explained(settings_):
    with pytest.raises(ConfigError, match="to start from a file of the authors' scripts give both, else neither"):
        load(settings_)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=8)
    | st.just("Score: 9"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=6,
)
FIELDS = sorted(
    {name for kind in Kind if kind is not Kind.seed_instruction for row in MINIATURES[kind] for name in row}
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([kind for kind in Kind if kind is not Kind.seed_instruction]), st.data())
def test_no_row_is_too_strange_to_be_read_or_dropped_with_a_reason(tmp_path_factory, kind, data):
    likely = dict(data.draw(st.sampled_from(MINIATURES[kind])))
    row = likely | data.draw(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3))
    kept, dropped = taken(tmp_path_factory.mktemp("rows"), kind, [row, MINIATURES[kind][0]])
    assert len(kept) + len(dropped) in (1, 2)  # neighbours of one prompt are one record
    assert set(reasons(dropped)) <= {"malformed_row"}
    for record in kept:
        assert type(record).__name__ == RECORDS[kind].__name__
        encode(record)
