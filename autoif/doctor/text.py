"""An examination for people and for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

from autoif.doctor.examine import Examination
from autoif.doctor.machine import Machine
from autoif.doctor.profiles import SFT_LENGTH


def as_json(found: Examination) -> str:
    """Everything, as one JSON object."""
    whole = dataclasses.asdict(found)
    for profile, item in zip(found.profiles, whole["profiles"], strict=True):
        item["runs"] = profile.runs
    return json.dumps(whole, indent=1, ensure_ascii=False)


def as_text(found: Examination) -> str:
    """A page: one line a finding."""
    lines = [f"{name:<13}{value}" for name, value in _findings(found)]
    header = f"Hardware profiles, and the shipped models that they train at {SFT_LENGTH:,} tokens:"
    return "\n".join([*lines, "", header, *_profiles(found)])


def _findings(found: Examination) -> Iterator[tuple[str, str]]:
    machine = found.machine
    yield "machine", f"{machine.system}, {machine.cores} cores, {machine.memory_gb:.0f} GB of memory"
    yield "Python", machine.python
    yield "GPUs", _gpus(machine)
    torch = machine.packages.get("torch")
    build = f"built for CUDA {machine.cuda}" if machine.cuda else "built for CPUs"
    yield "torch", f"{torch}, {build}" if torch else "not installed"
    yield "attention", _attention(machine)
    yield "DeepSpeed", _deepspeed(machine)
    yield "packages", ", ".join(f"{name} {version}" for name, version in machine.packages.items() if version)
    absent = [name for name, version in machine.packages.items() if not version]
    if absent:
        yield "", f"not installed: {', '.join(absent)}"
    compilers = [f"{name} {'yes' if path else 'no'}" for name, path in machine.compilers.items()]
    yield "compilers", ", ".join(compilers)
    yield "Slurm", _slurm(machine)
    yield "isolation", found.isolation
    yield "hub", found.hub or "answers"
    there = [name for name, missing in found.benchmarks.items() if not missing]
    missing = [name for name, why in found.benchmarks.items() if why]
    where = found.data_dir or "no folder given (evaluation.data_dir, AUTOIF_DATA_DIR)"
    yield "benchmarks", f"{where}: {', '.join(there) or 'none'}" + (f"; not {', '.join(missing)}" if missing else "")
    yield "keys", ", ".join(f"{name} {'set' if there else 'not set'}" for name, there in found.keys.items())


def _gpus(machine: Machine) -> str:
    if not machine.gpus:
        return machine.gpu_problem or "none"
    kinds: dict[str, int] = {}
    for gpu in machine.gpus:
        kind = f"{gpu.name} ({gpu.memory_gb:.0f} GB, compute {gpu.capability:g}, driver {gpu.driver})"
        kinds[kind] = kinds.get(kind, 0) + 1
    return ", ".join(f"{count} × {kind}" for kind, count in kinds.items())


def _attention(machine: Machine) -> str:
    if not machine.gpus:
        return "sequence by sequence on the CPU"
    if machine.cuda and min(gpu.capability for gpu in machine.gpus) >= 8:
        own = machine.packages.get("flash-attn")
        return "variable-length flash kernel of torch" + (f"; flash-attn {own}" if own else "")
    return "no flash kernel for these GPUs"


def _deepspeed(machine: Machine) -> str:
    version = machine.packages.get("deepspeed")
    if not version:
        return "not installed"
    if machine.prebuilt:
        return f"{version}, compiled: {', '.join(machine.prebuilt)}"
    able = machine.compilers.get("g++") and machine.compilers.get("ninja")
    return f"{version}, operations are compiled when first used" + ("" if able else ", which needs g++ and ninja")


def _slurm(machine: Machine) -> str:
    if machine.slurm_nodes:
        return f"inside a job of {machine.slurm_nodes} node{'s' if machine.slurm_nodes > 1 else ''}"
    return "sbatch is here" if machine.slurm else "none"


def _profiles(found: Examination) -> Iterator[str]:
    width = max((len(profile.name) for profile in found.profiles), default=0)
    for profile in found.profiles:
        verdict = "runs here" if profile.runs else f"no: {profile.reason}"
        yield f"  {profile.name:<{width}}  {verdict} [{', '.join(profile.models) or 'none'}]"
