"""`task=evaluate` and `task=compare` as a user types them: existing files in, numbers, items and comparisons out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, chat

import run
from autoif.records import Comparison, EvaluationItem, Result, read_records


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Types a command into an empty folder with a data folder beside it; returns exit code, output and errors."""
    monkeypatch.chdir(Path(run.__file__).parent)
    monkeypatch.setenv("AUTOIF_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("AUTOIF_CACHE", str(tmp_path / "cache"))

    def type_in(*arguments: str) -> tuple[int, str, str]:
        code = run.main([*arguments, f"paths.store={tmp_path}/store", f"paths.runs={tmp_path}/runs"])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return type_in


def mt_bench(tmp_path: Path, models: dict[str, list[int]]) -> Path:
    """Two questions, and a file of grades of each model on its four turns."""
    questions = [{"question_id": n, "category": "stem", "turns": ["a?", "b?"]} for n in (1, 2)]
    jsonl(tmp_path / "data/mt_bench/question.jsonl", questions)
    jsonl(tmp_path / "data/mt_bench/reference_answer_gpt-4.jsonl", [])
    rows = [
        {"question_id": 1 + place // 2, "model": model, "judge": ["gpt-4", "p"], "turn": 1 + place % 2, "score": score}
        for model, scores in models.items()
        for place, score in enumerate(scores)
    ]
    return jsonl(tmp_path / "gpt-4_single.jsonl", rows)


def test_judgments_of_several_models_make_a_table_results_and_items(user: Any, tmp_path: Path) -> None:
    judgments = mt_bench(tmp_path, {"strong": [9, 8, 9, 10], "weak": [3, 2, 4, -1]})
    code, out, _ = user("task=evaluate", "evaluation=mt_bench", f"evaluation.judgments={judgments}", "name=both")
    assert code == 0
    assert "mt_bench, strong, judged by gpt-4" in out
    assert re.search(r"score +9\.0000 +\[", out)
    folder = tmp_path / "runs/both/evaluation"
    results = {(r.model, r.metric): r for r in read_records(folder / "results.jsonl", Result)}
    assert results["weak", "score"].value == 3.0
    assert (results["weak", "score"].n, results["weak", "score/turn_2"].value) == (3, 2.0)
    items = list(read_records(folder / "items.jsonl", EvaluationItem))
    assert [(item.model, item.id, item.detail) for item in items][-1] == ("weak", "2", "4 ?")
    assert "is not MT-Bench's published file" in out


def test_a_model_whose_judgments_do_not_fit_is_named_and_the_others_are_scored(user: Any, tmp_path: Path) -> None:
    judgments = mt_bench(tmp_path, {"whole": [5, 5, 5, 5], "torn": [5, 5, 5]})
    code, out, _ = user("task=evaluate", "evaluation=mt_bench", f"evaluation.judgments={judgments}")
    assert code == 0
    assert "note: torn is not scored: no judgment of torn on question 2 turn 2" in out
    assert "mt_bench, torn" not in out
    code, _, err = user(
        "task=evaluate", "evaluation=mt_bench", f"evaluation.judgments={judgments}", "evaluation.answered_by=torn"
    )
    assert (code, err) == (1, "autoif: no judgment of torn on question 2 turn 2\n")


def test_a_changed_file_is_scored_anew_and_the_same_one_is_found(user: Any, tmp_path: Path) -> None:
    command = ["task=evaluate", "evaluation=mt_bench", f"evaluation.judgments={tmp_path}/gpt-4_single.jsonl"]
    for score in (5, 5, 7):
        mt_bench(tmp_path, {"m": [score] * 4})
        assert f"{score}.0000" in user(*command)[1]
    assert len(list((tmp_path / "store/score_existing").iterdir())) == 2


def arena(tmp_path: Path) -> None:
    asked = [{"uid": uid, "category": "arena-hard-v0.1", "prompt": f"Do {uid}"} for uid in ("u", "v")]
    jsonl(tmp_path / "data/arena_hard/v0.1/question.jsonl", asked)
    style = {"token_len": 3, "header_count": {"h1": 0}, "list_count": {"ordered": 0}, "bold_count": {"**": 0}}
    for model in ("gpt-4-0314", "good", "bad"):
        rows = [
            {"question_id": uid, "choices": [{"turns": [{"content": f"{model} {uid}"}]}], "conv_metadata": style}
            for uid in ("u", "v")
        ]
        jsonl(tmp_path / f"model_answer/{model}.jsonl", rows)
    for model, verdict in (("good", ("B>A", "A>>B")), ("bad", ("A>B", "B>A"))):
        games = [{"score": score} for score in verdict]
        rows = [{"question_id": uid, "model": model, "judge": "gpt-4-1106-preview", "games": games} for uid in "uv"]
        jsonl(tmp_path / f"model_judgment/gpt-4-1106-preview/{model}.jsonl", rows)


def test_folders_of_arena_hard_give_every_model_its_win_rate_with_and_without_style(user: Any, tmp_path: Path) -> None:
    arena(tmp_path)
    code, out, _ = user(
        "task=evaluate",
        "evaluation=arena_hard_v0.1",
        f"evaluation.judgments={tmp_path}/model_judgment",
        f"evaluation.responses={tmp_path}/model_answer",
        "name=arena",
    )
    assert code == 0, out
    results = {
        (r.model, r.metric): r.value for r in read_records(tmp_path / "runs/arena/evaluation/results.jsonl", Result)
    }
    assert results["good", "win_rate"] == 1.0
    assert results["bad", "win_rate"] == 0.0
    assert results["good", "win_rate/style_controlled"] > 0.5 > results["bad", "win_rate/style_controlled"]


def test_of_several_judges_one_has_to_be_chosen(user: Any, tmp_path: Path) -> None:
    arena(tmp_path)
    games = [{"score": "A>B"}, {"score": "B>A"}]
    rows = [{"uid": uid, "model": "good", "judge": "stern", "games": games} for uid in "uv"]
    jsonl(tmp_path / "model_judgment/stern/good.jsonl", rows)
    command = ["task=evaluate", "evaluation=arena_hard_v0.1", f"evaluation.judgments={tmp_path}/model_judgment"]
    code, _, err = user(*command)
    assert code == 1
    assert "holds judgments of gpt-4-1106-preview, stern: choose with evaluation.judged_by" in err
    code, out, _ = user(*command, "evaluation.judged_by=stern")
    assert code == 0
    assert re.search(r"good, judged by stern.*\n  win_rate +0\.0000", out)


def test_answers_without_judgments_go_to_the_judge_who_stands_beside_the_numbers(user: Any, tmp_path: Path) -> None:
    rows = [
        {"id": f"i{n}", "input": "", "instruction": f"Do {n}", "subset": "Easy_set", "decomposed_questions": ["a", "b"]}
        for n in range(2)
    ]
    jsonl(tmp_path / "data/infobench/InfoBench.json", rows)
    answers = jsonl(tmp_path / "mine.jsonl", [{"id": f"i{n}", "output": f"done {n}"} for n in range(2)])

    def reply(body: dict[str, Any]) -> Any:
        last = body["messages"][-1]["content"]
        if body["model"] == "second":
            return chat(body, text="YES")
        if "one word" in last:  # the reminder after a reply that can't be read
            return chat(body, text="Hm.")
        return chat(body, text={"a": "YES", "b": "NO" if "done 0" in str(body["messages"]) else "Perhaps."}[last[-1]])

    with ChatServer(reply) as server:
        judges = [
            argument
            for role, model in (("judge", "first"), ("second_judge", "second"))
            for argument in (
                f"supervisor@evaluation.{role}=openai",
                f"evaluation.{role}.model={model}",
                f"evaluation.{role}.base_url={server.url}",
            )
        ]
        code, out, err = user(
            "task=evaluate", "evaluation=infobench", f"evaluation.responses={answers}", *judges, "name=judged"
        )
        assert code == 0, err
    results = {r.metric: r for r in read_records(tmp_path / "runs/judged/evaluation/results.jsonl", Result)}
    assert results["drfr"].value == 0.5
    assert re.fullmatch(r"openai:first, \d{4}-\d\d-\d\d", str(results["drfr"].judge))
    assert "1 of 4 judgments could not be read, 1 were asked for again" in out
    assert results["judge_agreement"].value == pytest.approx(2 / 3)
    assert re.match(r"openai:first and openai:second, \d{4}", str(results["judge_agreement"].judge))


def followbench(tmp_path: Path) -> None:
    for category in ("content", "situation", "style", "format", "mixed", "example"):
        rows = [
            {"example_id": 1, "category": category, "source": "made", "level": level,
             "instruction": f"{category} {level}", "target": "An {answer}."}
            for level in range(1 if category == "example" else 0, 6)
        ]  # fmt: skip
        path = tmp_path / f"data/followbench/{category}_constraints.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows))


def infobench(tmp_path: Path) -> None:
    row = {"id": "i", "input": "", "instruction": "Do", "subset": "Hard_set", "decomposed_questions": ["good?", "bad"]}
    jsonl(tmp_path / "data/infobench/InfoBench.json", [row])


def mt_bench_prompts(tmp_path: Path) -> None:
    mt_bench(tmp_path, {})
    prompts = [
        {"name": name, "system_prompt": "Judge.", "prompt_template": "{question} {answer} {question_1} {answer_2}"}
        for name in ("single-v1", "single-math-v1", "single-v1-multi-turn", "single-math-v1-multi-turn")
    ]
    jsonl(tmp_path / "data/mt_bench/judge_prompts.jsonl", prompts)


def arena_with_baseline(tmp_path: Path) -> None:
    arena(tmp_path)
    (tmp_path / "model_answer/gpt-4-0314.jsonl").rename(tmp_path / "data/arena_hard/v0.1/baseline_gpt-4-0314.jsonl")


def served(body: dict[str, Any]) -> Any:
    """A model that answers, and a judge that ends as each benchmark asks."""
    said = body["messages"][-1]["content"]
    if body["model"] == "policy":
        return chat(body, text="An answer.")
    if "[[A>>B]]" in said:
        return chat(body, text="Both are short. [[A=B]]")
    if levels := re.search(r"Python list of (\d) strings", said):
        return chat(body, text="All but the last.\n" + str(["YES"] * (int(levels[1]) - 1) + ["NO"]))
    if "Question:" in said:
        return chat(body, text="YES" if said.endswith("good?") else "NO, it is not.")
    return chat(body, text="Rating: [[7]]")


@pytest.mark.parametrize(
    ("name", "prepare", "metric", "value"),
    [
        ("infobench", infobench, "drfr", 0.5),
        ("mt_bench", mt_bench_prompts, "score", 7.0),
        ("arena_hard_v0.1", arena_with_baseline, "win_rate", 0.5),
        # The judge grants all constraints but the last; the rule of "example" holds at every level.
        ("followbench", followbench, "hsr", 1 / 6),
    ],
)
def test_a_judged_benchmark_runs_whole_against_servers(
    user: Any, tmp_path: Path, name: str, prepare: Any, metric: str, value: float
) -> None:
    prepare(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    with ChatServer(served) as server:
        code, out, err = user(
            "task=evaluate",
            f"evaluation={name}",
            f"model.path={tmp_path}/model",
            "supervisor@evaluation.engine=openai",
            "evaluation.engine.model=policy",
            f"evaluation.engine.base_url={server.url}",
            "supervisor@evaluation.judge=openai",
            "evaluation.judge.model=the-judge",
            f"evaluation.judge.base_url={server.url}",
            "name=served",
        )
        assert code == 0, err
        asked = sum(server.asked.values())
    results = {r.metric: r for r in read_records(tmp_path / "runs/served/evaluation/results.jsonl", Result)}
    assert results[metric].value == pytest.approx(value)
    assert str(results[metric].judge).startswith("openai:the-judge, 20")
    assert f"judged by {results[metric].judge}" in out
    assert asked > 1


def test_a_folder_of_several_models_answers_to_followbench_makes_a_table_of_all(user: Any, tmp_path: Path) -> None:
    followbench(tmp_path)
    for model, said in (("good-7b", "An answer."), ("bad_7b", "Nothing.")):
        for category in ("content", "situation", "style", "format", "mixed", "example"):
            rows = [
                {"prompt_new": f"{category} {level}", "choices": [{"message": {"content": said}}]}
                for level in range(1, 6)
            ]
            jsonl(tmp_path / f"api_output/{model}_{category}_constraint.jsonl", rows)
    command = ["task=evaluate", "evaluation=followbench", f"evaluation.responses={tmp_path}/api_output", "name=folder"]
    code, out, err = user(*command)
    assert code == 0, err
    rows = list(read_records(tmp_path / "runs/folder/evaluation/results.jsonl", Result))
    found = {row.model: row.value for row in rows if row.metric == "hsr"}
    assert found == {"good-7b": 1.0, "bad_7b": 0.0}
    assert "no judgments: only the groups that rules judge are scored" in out
    code, out, _ = user(*command, "evaluation.answered_by=bad_7b")
    assert code == 0
    assert "followbench, bad_7b" in out
    assert "good-7b" not in out


def test_several_seeds_give_mean_and_deviation_of_what_is_drawn(user: Any, tmp_path: Path) -> None:
    mt_bench_prompts(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")

    seeds: list[int] = []

    def reply(body: dict[str, Any]) -> Any:
        if body["model"] == "policy":
            if body["seed"] not in seeds:
                seeds.append(body["seed"])
            return chat(body, text=f"drawn {seeds.index(body['seed'])}")
        drawn = re.findall(r"drawn (\d)", body["messages"][-1]["content"])
        return chat(body, text=f"[[{3 + int(drawn[0])}]]")

    with ChatServer(reply) as server:
        code, out, err = user(
            "task=evaluate",
            "evaluation=mt_bench",
            "evaluation.seeds=3",
            "evaluation.temperature=0.7",
            f"model.path={tmp_path}/model",
            *(f"supervisor@evaluation.{role}=openai" for role in ("engine", "judge")),
            *(f"evaluation.{role}.base_url={server.url}" for role in ("engine", "judge")),
            "evaluation.engine.model=policy",
            "evaluation.judge.model=j",
            "name=seeds",
        )
    assert code == 0, err
    results = {r.metric: r for r in read_records(tmp_path / "runs/seeds/evaluation/results.jsonl", Result)}
    assert (results["score"].value, results["score"].sd, results["score"].by_seed) == (4.0, 1.0, (3.0, 4.0, 5.0))
    assert "4.0000 ± 1.0000 over 3 seeds" in out


def test_two_runs_are_paired_item_by_item(user: Any, tmp_path: Path) -> None:
    for name, scores in (("a", [2, 2, 8, 8]), ("b", [9, 9, 8, 7])):
        judgments = mt_bench(tmp_path, {name: scores})
        assert user("task=evaluate", "evaluation=mt_bench", f"evaluation.judgments={judgments}", f"name={name}")[0] == 0
    code, out, _ = user("task=compare", "runs=[a,b]", "name=ab")
    assert code == 0
    assert "mt_bench: b minus a" in out
    rows = {row.metric: row for row in read_records(tmp_path / "runs/ab/comparison.jsonl", Comparison)}
    assert rows["score"].difference == pytest.approx(3.25)
    assert (rows["score"].gained, rows["score"].lost) == (("1",), ("2",))
    assert "gained in score: 1" in out


def test_items_of_ours_are_aggregated_again_and_their_answers_judged_again(user: Any, tmp_path: Path) -> None:
    mt_bench_prompts(tmp_path)
    answers = [{"question_id": n, "choices": [{"turns": [f"first {n}", f"second {n}"]}]} for n in (1, 2)]
    with ChatServer(served) as server:
        judge = [
            "supervisor@evaluation.judge=openai",
            "evaluation.judge.model=j",
            f"evaluation.judge.base_url={server.url}",
        ]
        common = ["task=evaluate", "evaluation=mt_bench"]
        given = jsonl(tmp_path / "mine.jsonl", answers)
        assert user(*common, *judge, f"evaluation.responses={given}", "name=one")[0] == 0
        items = tmp_path / "runs/one/evaluation/items.jsonl"
        code, out, err = user(*common, f"evaluation.judgments={items}", "name=two")
        assert code == 0, err
        assert "mt_bench, mine, judged by openai:j" in out
        assert "2 of 80 items of mine are there" in out
        code, out, err = user(*common, *judge, f"evaluation.responses={items}", "name=three")
        assert code == 0, err
        assert re.search(r"score +7\.0000", out)
    code, _, err = user("task=evaluate", "evaluation=ifeval", f"evaluation.responses={items}")
    assert code == 1
    assert "has no items of ifeval" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["task=compare"], "task=compare takes two runs, not 0: runs=[first,second]"),
        (["task=compare", "runs=[x,y]"], "run x left no items"),
        (["task=evaluate", "evaluation=none"], "measures nothing on a model alone: choose a benchmark"),
        (["task=evaluate", "evaluation=none", "evaluation.responses=x"], "score one benchmark, and no benchmark is on"),
        (["task=evaluate", "evaluation=ifeval", "evaluation.responses=/none"], "evaluation.responses=/none does not"),
        (
            ["task=evaluate", "evaluation=infobench", "evaluation.responses=run.py"],
            "InfoBench: {data}/infobench/InfoBench.json is missing: put the benchmark's file there",
        ),
        (["task=evaluate", "evaluation=mmlu", "evaluation.responses=run.py"], "mmlu is scored by log-likelihoods"),
    ],
)
def test_mistakes_are_one_line(user: Any, tmp_path: Path, arguments: list[str], message: str) -> None:
    code, _, err = user(*arguments)
    assert code == 1
    assert message.format(data=tmp_path / "data") in err
    assert err.count("\n") == 1
