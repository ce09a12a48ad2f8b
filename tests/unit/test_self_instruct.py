"""Self-instruct: seeds and rewrites, without duplicates, each dropped line with its reason."""

import pytest
from scripted import context, failure, reasons, split

from autoif.config import SelfInstructConfig
from autoif.errors import DataError
from autoif.generation import Completion
from autoif.synthesis.self_instruct import estimate, normalised, read_seeds, seeds_path, self_instruct


@pytest.fixture
def seeds(tmp_path):
    path = tmp_path / "seeds.txt"
    path.write_text("Answer in lower case.\n\nWrite exactly three lines.\n", encoding="utf-8")
    return str(path)


def run(seeds, answer, **settings):
    made = context(
        SelfInstructConfig(seeds=seeds, **{"rewrites_per_seed": 2, "per_call": 2} | settings), answer, seed=7
    )
    kept, dropped = split(self_instruct(made))
    return [row.text for row in kept], dropped, made.engines.supervisor.requests, kept


def test_seeds_come_first_then_the_rewrites_of_all_seeds_in_turn(seeds):
    def answer(request):
        topic = "case" if "lower case" in request.messages[0].content.split("Instruction:")[-1] else "lines"
        return f"- Write about {topic} once.\n- Write about {topic} twice."

    texts, dropped, requests, kept = run(seeds, answer)
    assert texts == [
        "Answer in lower case.",
        "Write exactly three lines.",
        "Write about case once.",
        "Write about lines once.",
        "Write about case twice.",
        "Write about lines twice.",
    ]
    assert not dropped
    assert [row.origin for row in kept] == ["seed"] * 2 + ["augmented"] * 4
    assert [row.parent for row in kept] == [None, None, kept[0].id, kept[1].id, kept[0].id, kept[1].id]
    assert len({row.id for row in kept}) == 6
    assert {request.seed for request in requests} == {7}


def test_only_as_many_rewrites_as_asked_for_are_taken(seeds):
    reply = "\n".join(f"{n}. Use the word number {n} here." for n in range(1, 9))
    texts, _, requests, _ = run(seeds, lambda request: reply, rewrites_per_seed=5, per_call=3)
    assert [request.index for request in requests] == [0, 1, 0, 1]
    assert texts[2:] == ["Use the word number 1 here.", "Use the word number 2 here.", "Use the word number 3 here."]


def test_what_only_looks_different_is_a_duplicate(seeds):
    reply = '- answer in  LOWER case\n- "Write exactly three lines"'
    texts, dropped, *_ = run(seeds, lambda request: reply)
    assert len(texts) == 2
    assert reasons(dropped) == ["duplicate"] * 4
    assert normalised("Write  A.") == normalised('"write a"') != normalised("write b")


@pytest.mark.parametrize(
    "line", ["Short it.", "Here are the new instructions:", "One two", "Write " + "very " * 60 + "long."]
)
def test_headings_fragments_and_essays_are_no_instructions(seeds, line):
    _, dropped, *_ = run(seeds, lambda request: f"- {line}", rewrites_per_seed=1, per_call=1)
    assert reasons(dropped) == ["not_an_instruction"] * 2


def test_the_limit_cuts_the_tail_and_says_so(seeds):
    replies = iter(["- Write about one thing.", "- Write about two things."])
    texts, dropped, *_ = run(seeds, lambda request: next(replies), rewrites_per_seed=1, per_call=1, limit=3)
    assert texts[2:] == ["Write about one thing."]
    assert [(reject.reason, reject.detail) for reject in dropped] == [("over_limit", "limit 3")]


def test_no_rewrites_asks_no_model(seeds):
    made = context(SelfInstructConfig(seeds=seeds, rewrites_per_seed=0), None)
    assert len(list(self_instruct(made))) == 2


def test_what_the_engine_cannot_answer_is_kept_as_evidence(seeds):
    texts, dropped, *_ = run(seeds, failure)
    assert len(texts) == 2
    assert [(reject.reason, reject.record.text) for reject in dropped] == [("content_filter", "blocked")] * 2


def test_an_empty_reply_gives_nothing(seeds):
    texts, dropped, *_ = run(seeds, lambda request: Completion(text="\n \n"))
    assert (len(texts), dropped) == (2, [])


def test_upstream_file_one_instruction_a_line_with_a_byte_order_mark_and_windows_ends(tmp_path):
    path = tmp_path / "seed_instruction.txt"
    path.write_bytes("\ufeffUse three words.\r\nUse four – words.\r\nUse three words.\r\n".encode())
    assert read_seeds(path) == ["Use three words.", "Use four – words."]


@pytest.mark.parametrize(
    ("content", "say"), [(b"", "the file is empty"), (b" \n\n", "the file is empty"), (b"\xff\xfe", "UTF-8")]
)
def test_a_bad_seed_file_is_one_line_that_says_what_to_do(tmp_path, content, say):
    path = tmp_path / "seeds.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"^seed instructions \S+seeds\.txt[^\n]*{say}[^\n]*$"):
        read_seeds(path)


def test_a_missing_seed_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.txt.*set pipeline\.self_instruct\.seeds"):
        read_seeds(tmp_path / "none.txt")


def test_the_estimate_bounds_what_happens(seeds):
    config = SelfInstructConfig(seeds=seeds, rewrites_per_seed=5, per_call=3, limit=10)
    assert (estimate(config).records, estimate(config).model_calls) == (10, 4)
    assert estimate(SelfInstructConfig(seeds="/nowhere")).records == 0


def test_at_least_36_seeds_are_shipped_and_all_are_distinct_instructions():
    shipped = read_seeds(seeds_path(SelfInstructConfig()))
    assert len(shipped) >= 36
    assert len({normalised(seed) for seed in shipped}) == len(shipped)
