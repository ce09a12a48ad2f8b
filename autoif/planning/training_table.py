"""The training part of a plan for people: amounts, memory, hours, and whether it fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autoif.config import HardwareConfig
from autoif.planning.text import bound, grid, hours, short
from autoif.planning.training import TrainingRow, available_gb, zero_stage


def render_training(rows: Sequence[TrainingRow], hardware: HardwareConfig, model: str) -> str:
    """Training stages as a table, then where their memory goes."""
    header = ("training", "rows", "steps", "tokens", "GB a device", "fits", "hours", "device-hours")
    where = f"Training {model} on {_devices(hardware)}, {zero_stage(hardware)}, {hardware.precision.value}"
    if hardware.peak_tflops:
        where += f", at {hardware.mfu:.0%} of {hardware.peak_tflops:g} TFLOPS"
    return "\n".join([f"{where}:", "", grid(header, map(_cells, rows)), *_memory(rows, hardware)])


def _devices(hardware: HardwareConfig) -> str:
    if hardware.world == 1:
        return hardware.name
    return f"{hardware.name} ({hardware.world} devices{f' on {hardware.nodes} nodes' if hardware.nodes > 1 else ''})"


def _cells(row: TrainingRow) -> tuple[str, ...]:
    return (
        row.title,
        bound(row.rows),
        bound(row.steps),
        f"≤ {short(row.tokens)}",
        f"{row.memory.total:.1f}" if row.memory else "–",
        "–" if row.fits is None else "yes" if row.fits else "no",
        f"≤ {hours(row.hours)}" if row.hours is not None else "–",
        f"≤ {hours(row.gpu_hours)}" if row.gpu_hours is not None else "–",
    )


def _memory(rows: Sequence[TrainingRow], hardware: HardwareConfig) -> Iterator[str]:
    """Where the memory goes, once for all rows that are alike."""
    seen: set[str] = set()
    for row in rows:
        if row.memory is None:
            text = "  memory and hours are not known: set model.shape (or model.path to a local folder)"
        else:
            text = _breakdown(row, hardware)
        if text not in seen:
            seen.add(text)
            yield f"  {row.title}: {text.strip()}"


def _breakdown(row: TrainingRow, hardware: HardwareConfig) -> str:
    memory = row.memory
    assert memory is not None
    text = (
        f"weights {memory.weights:.1f} + gradients {memory.gradients:.1f} + optimizer {memory.optimizer:.1f} + "
        f"gathered {memory.gathered:.1f} + activations {memory.activations:.1f} + logits {memory.logits:.1f} + "
        f"process {memory.process:.1f} GB"
    )
    if memory.step > memory.passing:
        text += f"; the optimizer's step needs {memory.step:.1f} GB more than the states"
    if memory.host:
        text += f"; {memory.host:.0f} GB of each node's memory for offloaded states"
    if row.fits is False:
        part, size = row.binding
        text += (
            f". Does not fit into {available_gb(hardware):.0f} GB: {part} take {size:.1f} GB. It fits with {row.change}"
        )
    return text
