"""Back-translation and the NLI filter: contradictions go, by the supervisor's word or by the paper's classifier."""

import json

import pytest
from msgspec.structs import replace
from scripted import asked, context, failure, reasons, split, verifier

from autoif.config import BackTranslateConfig, NliConfig, NliJudge, NliScope
from autoif.engines import Engines
from autoif.errors import EngineError
from autoif.synthesis.back_translate import back_translate
from autoif.synthesis.nli_filter import nli_filter
from autoif.synthesis.nli_model import NliModel

ROWS = [verifier("code_a", "code_b", text="Use lower case."), verifier("code_c", text="Use three lines.")]


def translated(**texts):
    """The rows with the back-translations that a model would give."""
    made = context(
        BackTranslateConfig(),
        lambda request: next(t for code, t in texts.items() if code in request.messages[0].content),
    )
    return list(back_translate(made, ROWS))


def test_every_function_is_read_back_on_its_own():
    made = context(
        BackTranslateConfig(max_tokens=9),
        lambda request: 'Instruction: "Use lower\ncase."\n\nThe code checks it.',
        seed=4,
    )
    kept, dropped = split(back_translate(made, ROWS))
    assert [[f.back_translation for f in row.functions] for row in kept] == [
        ["Use lower case."] * 2,
        ["Use lower case."],
    ]
    assert not dropped
    sent = made.engines.supervisor.requests
    assert [
        name in request.messages[0].content for name, request in zip(("code_a", "code_b", "code_c"), sent, strict=True)
    ] == [True] * 3
    assert {(request.seed, request.sampling.max_tokens, request.sampling.temperature) for request in sent} == {
        (4, 9, 0.0)
    }


def test_a_function_that_cannot_be_read_back_is_dropped_and_its_instruction_when_none_is_left():
    made = context(
        BackTranslateConfig(), lambda request: " \n" if "code_a" in request.messages[0].content else "Use lower case."
    )
    kept, dropped = split(back_translate(made, ROWS))
    assert [[f.code for f in row.functions] for row in kept] == [["code_b"], ["code_c"]]
    assert [(r.reason, r.record.functions[0].code) for r in dropped] == [("no_back_translation", "code_a")]
    kept, dropped = split(back_translate(context(BackTranslateConfig(), failure), ROWS))
    assert not kept
    assert reasons(dropped) == ["content_filter"] * 2 + ["no_function_left", "content_filter", "no_function_left"]


LIST = 'Here they are:\n```json\n["Use lower case.", "Write\nsmall letters."]\n```'


def test_functions_read_back_together_share_a_call_in_their_order():
    made = context(BackTranslateConfig(together=True, functions=3), lambda request: LIST)
    kept, dropped = split(back_translate(made, ROWS))
    assert [[f.back_translation for f in row.functions] for row in kept] == [
        ["Use lower case.", "Write small letters."],
        ["Use lower case."],
    ]
    assert not dropped
    first, second = (request.messages[0].content for request in made.engines.supervisor.requests)
    assert first.index("code_a") < first.index("code_b")
    assert "code_c" in second


@pytest.mark.parametrize("reply", ["No.", "[]", '["a", 3]', "["])
def test_a_reply_that_is_no_list_drops_its_instruction(reply):
    kept, dropped = split(back_translate(context(BackTranslateConfig(together=True), lambda request: reply), ROWS))
    assert (kept, reasons(dropped)) == ([], ["back_translation_unreadable"] * 2)
    assert dropped[0].detail == reply


@pytest.mark.parametrize("together", [False, True])
def test_functions_behind_the_first_so_many_stay_unjudged_and_are_kept(together):
    made = context(BackTranslateConfig(together=together, functions=1), lambda request: '["Use lower case."]')
    kept, _ = split(back_translate(made, ROWS))
    assert [f.back_translation is None for f in kept[0].functions] == [False, True]
    assert len(made.engines.supervisor.requests) == 2
    labelled, dropped = split(nli_filter(context(NliConfig(judge=NliJudge.supervisor), lambda r: "neutral"), kept))
    assert [f.nli for f in labelled[0].functions] == ["neutral", None]
    assert not dropped


def test_what_was_labelled_in_a_file_asks_nobody():
    rows = [replace(row, functions=tuple(replace(f, nli="neutral") for f in row.functions)) for row in ROWS]
    made = context(NliConfig(judge=NliJudge.supervisor))  # there is no supervisor to ask
    assert split(nli_filter(made, rows)) == (rows, [])


def test_contradictions_go_and_what_is_left_carries_its_label():
    rows = translated(code_a="Use upper case.", code_b="Use small letters.", code_c="Use four lines.")

    def judge(request):
        text = request.messages[-1].content
        assert asked(text) == "nli"
        return "Entailment." if "small letters" in text else "contradiction"

    by_function = NliConfig(judge=NliJudge.supervisor, scope=NliScope.function)
    kept, dropped = split(nli_filter(context(by_function, judge), rows))
    assert [[(f.code, f.nli) for f in row.functions] for row in kept] == [[("code_b", "entailment")]]
    assert [(r.reason, r.detail) for r in dropped] == [
        ("nli_contradiction", "Use upper case."),
        ("nli_contradiction", "Use four lines."),
        ("no_function_left", ""),
    ]
    kept, dropped = split(nli_filter(context(NliConfig(judge=NliJudge.supervisor), judge), rows))
    assert not kept
    assert [(r.reason, r.detail) for r in dropped if "nli" not in r.reason] == [
        ("back_translation_disagrees", "contradiction"),
        ("no_function_left", ""),
    ]


def test_the_instruction_is_the_premise_and_the_back_translation_the_hypothesis():
    made = context(NliConfig(judge=NliJudge.supervisor), lambda request: "neutral")
    list(nli_filter(made, translated(code_a="AAA", code_b="BBB", code_c="CCC")))
    text = made.engines.supervisor.requests[2].messages[-1].content
    assert text.index("Use three lines.") < text.index("CCC")


@pytest.mark.parametrize(
    ("drop", "left"), [([], 3), (["neutral"], 0), (["contradiction", "neutral"], 0), (["contradiction"], 3)]
)
def test_which_labels_drop_a_function_is_configured(drop, left):
    made = context(NliConfig(judge=NliJudge.supervisor, drop=drop), lambda request: "neutral")
    kept, _ = split(nli_filter(made, translated(code_a="A", code_b="B", code_c="C")))
    assert sum(len(row.functions) for row in kept) == left


def test_an_unreadable_judgment_is_not_taken_for_agreement():
    kept, dropped = split(
        nli_filter(
            context(NliConfig(judge=NliJudge.supervisor), lambda r: "Hm."),
            translated(code_a="A", code_b="B", code_c="C"),
        )
    )
    assert (kept, reasons(dropped).count("nli_unreadable")) == ([], 3)


# The paper's classifier: a tiny random one of the same class, with the same labels in the same order.
LABELS = {0: "entailment", 1: "neutral", 2: "contradiction"}
WORDS = ["use", "write", "lower", "upper", "case", "three", "four", "lines", "the", "a", "of", "word", "small", "in"]
WORDS += ["letters", ".", ","]
PAIRS = [
    ("use lower case .", "use upper case ."),
    ("write three lines .", "write four lines of small letters in the word case , the word lines , the lower case ."),
    ("use the word", "use the word"),
    ("write", "lower"),
    ("use four lines , three lines", "a"),
]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A DeBERTa-v2 sequence classifier with a word-level tokenizer, saved as a checkpoint folder."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification, PreTrainedTokenizerFast

    names = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = [("[CLS]", 1), ("[SEP]", 2)]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", special)
    config = DebertaV2Config(
        vocab_size=len(names),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        relative_attention=True,
        position_buckets=8,
        pos_att_type=["p2c", "c2p"],
        pooler_hidden_size=16,
        id2label=LABELS,
        label2id={name: i for i, name in LABELS.items()},
    )
    torch.manual_seed(1)
    model = DebertaV2ForSequenceClassification(config).eval()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]"
    )
    with torch.inference_mode():
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.6)
        inputs = fast(*map(list, zip(*PAIRS, strict=True)), padding=True, return_tensors="pt")
        # Centred, so that random weights tell the pairs apart.
        model.classifier.bias -= model(**inputs).logits.mean(0)
    folder = tmp_path_factory.mktemp("nli")
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def test_the_classifier_loads_and_names_its_labels(classifier):
    labels = NliModel(str(classifier)).labels(PAIRS)
    assert set(labels) <= set(LABELS.values())
    assert len(set(labels)) > 1, "the random weights should tell some pairs apart"
    assert NliModel(str(classifier)).labels([]) == []


def test_batches_of_mixed_lengths_answer_like_one_by_one(classifier):
    one = NliModel(str(classifier), batch_size=1).labels(PAIRS)
    assert NliModel(str(classifier), batch_size=3).labels(PAIRS) == one
    assert NliModel(str(classifier)).labels(PAIRS[::-1]) == one[::-1]


def test_label_names_are_taken_in_whatever_order_and_case(classifier, relabelled):
    names = {0: "CONTRADICTION", 1: "Neutral", 2: "entailment"}
    turned = {"entailment": "contradiction", "neutral": "neutral", "contradiction": "entailment"}
    expected = [turned[label] for label in NliModel(str(classifier)).labels(PAIRS)]
    assert NliModel(str(relabelled(names))).labels(PAIRS) == expected


@pytest.fixture
def relabelled(classifier, tmp_path):
    """The checkpoint under other label names."""

    def copy(names):
        for file in classifier.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        config = json.loads((classifier / "config.json").read_text())
        config["id2label"] = names
        config["label2id"] = {name: i for i, name in names.items()}
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return copy


@pytest.mark.parametrize(
    "names", [{0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}, {0: "entailment", 1: "neutral", 2: "other"}]
)
def test_a_model_with_other_labels_is_refused_in_one_line(relabelled, names):
    with pytest.raises(EngineError, match=r"^NLI model \S+ has labels [^\n]*, not entailment, neutral, contradiction$"):
        NliModel(str(relabelled(names)))


def test_a_missing_model_is_one_line_that_says_what_to_do(tmp_path):
    with pytest.raises(
        EngineError, match=r"^NLI model \S+none cannot be loaded [^\n]*pipeline\.nli\.judge=supervisor$"
    ):
        NliModel(str(tmp_path / "none"))


def test_upstream_fault_10_the_classifier_is_loaded_once_and_its_labels_decide(classifier):
    from autoif.config import RunConfig

    rows = translated(code_a=PAIRS[0][1], code_b=PAIRS[1][1], code_c=PAIRS[2][1])
    with Engines(RunConfig()) as engines:
        assert engines.nli(str(classifier)) is engines.nli(str(classifier))
        made = context(NliConfig(model=str(classifier), scope=NliScope.function))
        made.engines = engines
        kept, dropped = split(nli_filter(made, rows))
    pairs = [(row.instruction.text, f.back_translation) for row in rows for f in row.functions]
    labels = NliModel(str(classifier)).labels(pairs)
    survivors = [f.nli for row in kept for f in row.functions]
    assert survivors == [label for label in labels if label != "contradiction"]
    assert reasons(dropped).count("nli_contradiction") == labels.count("contradiction")
