"""Local decoding: neighbours, padding, refilled slots and shrinking batches change nothing that is answered."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from training_tiny import tiny_model, tiny_tokenizer  # noqa: E402

from autoif.errors import DataError, EngineError  # noqa: E402
from autoif.generation.base import Answer, Completion, Failure, Request, Sampling, user  # noqa: E402
from autoif.generation.decoding import Row, choose  # noqa: E402
from autoif.generation.transformers import TransformersGenerator  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


def generator(folder: Path, batch_size: int = 4) -> TransformersGenerator:
    return TransformersGenerator(folder, "tiny", batch_size=batch_size, threads=1)


def texts(count: int, seed: int = 0) -> list[str]:
    """Texts of very different lengths."""
    letters = random.Random(seed)
    return ["".join(letters.choices("abcdefgh ", k=letters.choice([1, 5, 20, 120]))) for _ in range(count)]


def requests(count: int, temperature: float, top_p: float = 1.0) -> list[Request]:
    limits = random.Random(1)
    return [
        Request(
            messages=user(text),
            sampling=Sampling(temperature=temperature, top_p=top_p, max_tokens=limits.choice([1, 3, 10, 40])),
            index=number,
        )
        for number, text in enumerate(texts(count))
    ]


def alone(folder: Path, asked: list[Request]) -> list[Answer]:
    engine = generator(folder, batch_size=1)
    return [next(iter(engine.generate([request]))) for request in asked]


@pytest.mark.parametrize("temperature, top_p", [(0.0, 1.0), (1.0, 1.0), (0.7, 0.9)], ids=["greedy", "sampled", "top_p"])
def test_batched_answers_equal_those_one_by_one(folder: Path, temperature: float, top_p: float) -> None:
    asked = requests(60 if temperature == 0 else 24, temperature, top_p)
    assert list(generator(folder, batch_size=8).generate(asked)) == alone(folder, asked)


def test_settings_of_neighbours_do_not_matter(folder: Path) -> None:
    mixed = [
        request
        for three in zip(requests(8, 0.0), requests(8, 1.0), requests(8, 0.7, 0.9), strict=True)
        for request in three
    ]
    assert list(generator(folder, batch_size=5).generate(mixed)) == alone(folder, mixed)


def test_greedy_answers_equal_those_of_the_library(folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = tiny_tokenizer()
    asked = [Request(messages=user(text), sampling=Sampling(max_tokens=12)) for text in texts(12)]
    answers = list(generator(folder).generate(asked))
    for request, answer in zip(asked, answers, strict=True):
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": request.messages[0].content}], tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, pad_token_id=0
        )
        assert isinstance(answer, Completion)
        assert answer.text == tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        assert answer.prompt_tokens == ids.shape[1]


def test_samples_of_one_prompt_differ_and_are_reproducible(folder: Path) -> None:
    asked = [
        Request(messages=user("hello"), sampling=Sampling(temperature=1.0, max_tokens=20), index=n) for n in range(6)
    ]
    first, second = list(generator(folder).generate(asked)), list(generator(folder).generate(asked))
    assert first == second
    assert len({answer.text for answer in first if isinstance(answer, Completion)}) == 6
    other = [Request(messages=r.messages, sampling=r.sampling, index=r.index, seed=1) for r in asked]
    assert list(generator(folder).generate(other)) != first


def test_an_answer_ends_before_its_stop_string_or_at_its_limit(folder: Path) -> None:
    free = Request(messages=user("abc"), sampling=Sampling(temperature=1.0, max_tokens=60))
    (whole,) = generator(folder).generate([free])
    assert isinstance(whole, Completion)
    assert (whole.finish, whole.completion_tokens) == ("length", 60)
    assert whole.prompt_tokens > 3
    greedy = Request(messages=user("abc"), sampling=Sampling(max_tokens=30))
    (plain,) = generator(folder).generate([greedy])
    assert isinstance(plain, Completion)
    stop = plain.text[5:7]
    cut = Request(messages=user("abc"), sampling=Sampling(max_tokens=30, stop=("never there", stop)))
    (short,) = generator(folder).generate([cut])
    assert isinstance(short, Completion)
    assert short.text == plain.text[: plain.text.index(stop)]
    assert short.finish == "stop"
    assert short.completion_tokens < plain.completion_tokens


def test_a_prompt_longer_than_the_context_is_a_failure_and_the_rest_is_answered(folder: Path) -> None:
    asked = [
        Request(messages=user("x" * 600), sampling=Sampling()),
        Request(messages=user("y" * 460), sampling=Sampling(max_tokens=100)),
        Request(messages=user("z"), sampling=Sampling(max_tokens=2)),
    ]
    too_long, near, fine = generator(folder).generate(asked)
    assert isinstance(too_long, Failure)
    assert too_long.reason == "context_length"
    assert isinstance(near, Completion)
    assert near.prompt_tokens + near.completion_tokens <= 512
    assert isinstance(fine, Completion)


def test_an_answer_ends_with_the_templates_turn_whatever_the_models_end_of_text(tmp_path: Path) -> None:
    tiny_model(tmp_path)
    tiny_tokenizer(eos="<|endoftext|>").save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").unlink(missing_ok=True)
    engine = generator(tmp_path)
    list(engine.generate(requests(1, 0.0)))
    tokens = tiny_tokenizer()
    ends = {tokens.convert_tokens_to_ids(token) for token in ("<|endoftext|>", "<|im_end|>")}
    assert ends <= engine._ends
    assert tokens.convert_tokens_to_ids("<|im_start|>") not in engine._ends


def test_bfloat16_answers_everything(folder: Path) -> None:
    engine = TransformersGenerator(folder, "tiny", batch_size=4, threads=1, precision="bf16")
    answers = list(engine.generate(requests(10, 1.0)))
    engine.close()
    engine.close()
    assert all(isinstance(answer, Completion) for answer in answers)


def test_a_folder_that_is_no_model_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"config\.json"):
        generator(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match=str(tmp_path)):
        next(iter(generator(tmp_path).generate(requests(1, 0.0))))


def test_a_model_without_a_chat_template_says_what_to_set(tmp_path: Path) -> None:
    tiny_model(tmp_path)
    tiny_tokenizer(template=None).save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(EngineError, match=r"model\.chat_template"):
        next(iter(generator(tmp_path).generate(requests(1, 0.0))))


@pytest.mark.parametrize("top_p, allowed", [(1.0, {0, 1, 2, 3}), (0.75, {0, 1}), (0.5, {0}), (0.1, {0})])
def test_tokens_are_drawn_with_their_probabilities(top_p: float, allowed: set[int]) -> None:
    shares = torch.tensor([0.5, 0.3, 0.15, 0.05])
    rows = [
        Row(prompt=[0], limit=1, temperature=1.0, top_p=top_p, random=random.Random(number)) for number in range(4000)
    ]
    drawn = Counter(choose(shares.log().expand(len(rows), -1), rows))
    assert set(drawn) == allowed
    mass = sum(shares[token].item() for token in allowed)
    for token in allowed:
        assert drawn[token] / len(rows) == pytest.approx(shares[token].item() / mass, abs=0.03)


def test_a_flat_distribution_wider_than_the_first_look_is_sampled_whole() -> None:
    rows = [Row(prompt=[0], limit=1, temperature=1.0, top_p=0.9, random=random.Random(n)) for n in range(3000)]
    drawn = choose(torch.zeros(len(rows), 2000), rows)
    assert 1000 < len(set(drawn)) <= 1800


def test_low_temperature_is_nearly_greedy() -> None:
    rows = [Row(prompt=[0], limit=1, temperature=0.01, top_p=1.0, random=random.Random(n)) for n in range(50)]
    assert set(choose(torch.tensor([[0.0, 1.0, 0.5]]).expand(50, -1), rows)) == {1}
