"""Training on a GPU: packed flash attention and liger's kernels against the plain path, and a measured utilisation."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

torch = pytest.importorskip("torch")

from training_tiny import dpo_job, pair_rows, sft_job, tiny_model  # noqa: E402

from autoif.config import Accelerator, HardwareConfig, Precision, Techniques  # noqa: E402
from autoif.records import TrainStep, read_records, write_records  # noqa: E402
from autoif.training.chat import load_chat  # noqa: E402
from autoif.training.data import PairData  # noqa: E402
from autoif.training.job import Job  # noqa: E402
from autoif.training.losses import sum_by_sequence  # noqa: E402
from autoif.training.model import load_policy  # noqa: E402
from autoif.training.run import run  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

PLAIN = Techniques(packing=False, share_prompt=False, label_logits=False)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"), hidden_size=128, num_attention_heads=4, num_key_value_heads=2)


def on_gpu(job: Job, techniques: Techniques) -> Job:
    hardware = replace(
        job.hardware, accelerator=Accelerator.gpu, precision=Precision.bf16, techniques=techniques, peak_tflops=100.0
    )
    return msgspec.structs.replace(job, hardware=hardware)


def sums(folder: Path, rows: Path, techniques: Techniques) -> torch.Tensor:
    hardware = HardwareConfig(name="test", accelerator=Accelerator.gpu, techniques=techniques)
    model = load_policy(folder, hardware, torch.bfloat16).cuda()
    batch = PairData(rows, load_chat(folder), 256, techniques).batch((0, 1, 2, 3)).to(torch.device("cuda"))
    with torch.no_grad():
        return sum_by_sequence(model(batch).float(), batch.owner, batch.sequences)


@pytest.mark.parametrize(
    "techniques",
    [
        Techniques(),
        Techniques(share_prompt=False),
        Techniques(compile=True),
        pytest.param(
            Techniques(liger=True),
            marks=pytest.mark.skipif(find_spec("liger_kernel") is None, reason="liger-kernel is not installed"),
        ),
    ],
    ids=str,
)
def test_each_switch_gives_the_log_probabilities_of_the_plain_path(
    base: Path, tmp_path: Path, techniques: Techniques
) -> None:
    rows = tmp_path / "rows.jsonl"
    write_records(rows, pair_rows(4))
    assert torch.allclose(sums(base, rows, techniques), sums(base, rows, PLAIN), rtol=2e-2)


@pytest.mark.parametrize("make", [sft_job, lambda f, s, **k: dpo_job(f, s, s, **k)], ids=["sft", "dpo"])
def test_curves_agree_with_the_plain_path_and_the_utilisation_is_measured(
    make: object, base: Path, tmp_path: Path
) -> None:
    curves = []
    for name, techniques in (("plain", PLAIN), ("fast", Techniques())):
        job = on_gpu(make(tmp_path / name, base, epochs=4, learning_rate=1e-3), techniques)  # type: ignore[operator]
        facts = run(job)
        assert 0 < facts["mfu"] < 1
        curves.append([row.loss for row in read_records(job.curve, TrainStep)])
    assert curves[0] == pytest.approx(curves[1], rel=2e-2)
