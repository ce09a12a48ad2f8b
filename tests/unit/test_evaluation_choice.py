"""MMLU and C-Eval: rows of both forms, contexts equal to lm-eval's own, the likeliest letter counts."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from autoif.config import ChoiceConfig
from autoif.errors import DataError, EngineError
from evaluation import ceval, choice, mmlu
from evaluation.benchmark import Setup


def parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as files

    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_table(pyarrow.Table.from_pylist(rows), path)


def question(subject: str, number: int) -> dict[str, Any]:
    choices = [f"{subject} {number} {letter}" for letter in "abcd"]
    return {"question": f" What of {subject} {number}? ", "subject": subject, "choices": choices, "answer": number % 4}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two subjects of MMLU as the hub has them; all subjects of C-Eval."""
    for split, count in (("dev", 5), ("test", 3)):
        rows = [question(subject, n) for subject in ("anatomy", "high_school_physics") for n in range(count)]
        parquet(tmp_path / f"mmlu/{split}.parquet", rows)
    (tmp_path / "ceval").mkdir()
    with zipfile.ZipFile(tmp_path / "ceval/ceval-exam.zip", "w") as archive:
        for subject in ceval.subjects():
            for split in ("dev", "val"):
                lines = ["id,question,A,B,C,D,answer", f"0,{subject}问,甲,乙,丙,丁,{'B' if split == 'dev' else 'C'}"]
                archive.writestr(f"{split}/{subject}_{split}.csv", "\n".join(lines))
    return tmp_path


def test_a_context_is_description_examples_and_question(data: Path) -> None:
    (_, context), *_ = mmlu.contexts(str(data), 1, 1)
    assert context == (
        "The following are multiple choice questions (with answers) about anatomy.\n\n"
        "What of anatomy 0?\nA. anatomy 0 a\nB. anatomy 0 b\nC. anatomy 0 c\nD. anatomy 0 d\nAnswer: A\n\n"
        "What of anatomy 0?\nA. anatomy 0 a\nB. anatomy 0 b\nC. anatomy 0 c\nD. anatomy 0 d\nAnswer:"
    )


def test_a_limit_is_of_each_subject(data: Path) -> None:
    assert [it.id for it, _ in mmlu.contexts(str(data), 1, 0)] == ["anatomy/0", "high_school_physics/0"]
    assert len(mmlu.contexts(str(data), None, 0)) == 6
    assert len(ceval.contexts(data / ceval.SOURCE.file, None, 1)) == 52


def test_ceval_asks_in_chinese(data: Path) -> None:
    context = {it.subject: text for it, text in ceval.contexts(data / ceval.SOURCE.file, None, 1)}["law"]
    assert context == (
        "以下是中国关于法学的单项选择题，请选出其中的正确答案。\n\n"
        "law问\nA. 甲\nB. 乙\nC. 丙\nD. 丁\n答案： B\n\nlaw问\nA. 甲\nB. 乙\nC. 丙\nD. 丁\n答案："
    )


@pytest.mark.parametrize("shots", [0, 3])
def test_contexts_equal_those_of_lm_evals_own_tasks(data: Path, shots: int) -> None:
    pytest.importorskip("lm_eval")
    import lm_eval.tasks
    from lm_eval.tasks import TaskManager

    stock = Path(lm_eval.tasks.__file__).parent / "mmlu/default/mmlu_anatomy.yaml"
    for split in ("dev", "test"):
        rows = [question("anatomy", n) for n in range(5 if split == "dev" else 3)]
        (data / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (data / "tasks").mkdir()
    (data / "tasks/stock.yaml").write_text(
        f"include: {stock}\ntask: stock\ndataset_path: json\ndataset_name: null\ntag: null\nnum_fewshot: {shots}\n"
        f"dataset_kwargs:\n  data_files:\n    dev: {data}/dev.jsonl\n    test: {data}/test.jsonl\n"
    )
    task = TaskManager(include_path=str(data / "tasks"), include_defaults=False).load(["stock"])["tasks"]["stock"]
    task.build_all_requests()
    theirs = [instance.args[0] for instance in task.instances if instance.idx == 0]
    ours = [context for it, context in mmlu.contexts(str(data), None, shots) if it.subject == "anatomy"]
    assert ours == theirs


class Likes:
    """lm-eval's model, of which a letter is said that it finds likeliest."""

    def __init__(self, letter: str) -> None:
        from lm_eval.api.model import LM

        likes = self

        class Model(LM):  # type: ignore[misc]
            def loglikelihood(self, requests: Any) -> Any:
                likes.asked += len(requests)
                found = [(0.0 if args[1].strip() == letter else -2.0, False) for args in (r.args for r in requests)]
                for request, answer in zip(requests, found, strict=True):
                    self.cache_hook.add_partial("loglikelihood", request.args, answer)
                return found

            def generate_until(self, requests: Any) -> Any:
                raise AssertionError

            loglikelihood_rolling = generate_until

        self.asked, self.model = 0, Model()


def test_the_likeliest_letter_is_the_answer_and_a_killed_run_asks_nothing_twice(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    work, likes = tmp_path / "work", Likes("B")
    work.mkdir()

    def measured(likes: Likes) -> list[Any]:
        setup = Setup(
            generator=None,  # type: ignore[arg-type]
            settings=ChoiceConfig(limit=2, shots=1),
            model="m",
            data_dir=str(data),
            scorer=lambda: likes.model,
            work=work,
        )
        found = list(mmlu.DEFINITION.measure(setup))
        assert (setup.facts["sample"], setup.facts["shots"]) == (True, 1)
        return found

    items = measured(likes)
    assert [(item.id, item.response, item.scores["acc"]) for item in items] == [
        ("anatomy/0", "B", 0.0),
        ("anatomy/1", "B", 1.0),
        ("high_school_physics/0", "B", 0.0),
        ("high_school_physics/1", "B", 1.0),
    ]
    assert items[0].parts == {"acc/stem": (0.0,)}
    assert likes.asked == 16
    again = Likes("B")
    assert measured(again) == items
    assert again.asked == 0


def test_an_engine_without_log_likelihoods_says_so(data: Path) -> None:
    setup = Setup(generator=None, settings=ChoiceConfig(limit=1), model="m", data_dir=str(data))  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="gives no log-likelihoods"):
        list(mmlu.DEFINITION.measure(setup))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "?", "choices": ["a", "b"], "answer": 0}, "2 choices"),
        ({"question": "?", "choices": list("abcd"), "answer": 4}, "the answer 4"),
        ({"question": "?", "A": 1, "B": 2, "C": 3, "D": 4, "answer": "E"}, "no question with four choices"),
        ({"choices": list("abcd"), "answer": 0}, "'question'"),
    ],
)
def test_malformed_rows_are_named(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        choice.item(row, "s", 0, "here")


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mmlu/dev\.parquet is missing"):
        mmlu.contexts(str(tmp_path), None, 5)
    (tmp_path / "ceval-exam.zip").write_text("no archive")
    with pytest.raises(DataError, match="is not its archive of CSV files"):
        ceval.load(tmp_path / "ceval-exam.zip", "val")
