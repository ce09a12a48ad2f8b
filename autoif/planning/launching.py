"""The files that start a run elsewhere: DeepSpeed's configuration, torchrun commands, Slurm scripts.

They come from the functions that the real launch uses (``autoif/training/commands.py``, ``slurm.py``, ``strategy.py``).
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoif.config import HardwareConfig, Precision, RunConfig, TrainingConfig
from autoif.errors import DataError
from autoif.planning.memory import ZERO
from autoif.planning.training import accumulation, answers_of
from autoif.stage import Stage
from autoif.store import Store, write_atomically
from autoif.training.commands import torchrun, training
from autoif.training.slurm import run_script, training_script
from autoif.training.stages import TrainStageConfig
from autoif.training.strategy import deepspeed_config

RUN = Path(__file__).resolve().parents[2] / "run.py"


def launch_files(config: RunConfig, stages: Sequence[Stage], store: Store, overrides: Sequence[str]) -> dict[str, str]:
    """Name → text. ``run.sbatch`` does the whole run; each training stage has its DeepSpeed configuration, its command
    on one node (``.sh``) and its own batch script, for the job file that lies in its folder once it has begun."""
    hardware, folder = config.hardware, _folder(config)
    work = Path.cwd()
    command = [sys.executable, str(RUN), *(text for text in overrides if not text.startswith(("task=", "launch=")))]
    files = {"run.sbatch": run_script(hardware, config.name, folder / "%x-%j.log", work, command)}
    for stage in stages:
        if not isinstance(stage.config, TrainStageConfig):
            continue
        job = str((stage.entry(store).work / "job.json").absolute())
        if hardware.strategy in ZERO:
            settings = full_deepspeed_config(hardware, stage.config.training, answers_of(config, stage.config.training))
            files[f"{stage.title}.deepspeed.json"] = json.dumps(settings, indent=1) + "\n"
        if hardware.nodes == 1:
            start = torchrun(hardware, job, None) if hardware.world > 1 else [sys.executable, *training(job)]
            files[f"{stage.title}.sh"] = f"#!/bin/bash\nexec {shlex.join(start)}\n"
        name = f"{config.name}-{stage.title}"
        files[f"{stage.title}.sbatch"] = training_script(hardware, name, folder / "%x-%j.log", work, job)
    return files


def full_deepspeed_config(hardware: HardwareConfig, training: TrainingConfig, answers: int) -> dict[str, Any]:
    """Ours, and what Lightning adds to it when training on rows of ``answers`` starts."""
    settings = deepspeed_config(hardware, training.clip_norm)
    settings["gradient_accumulation_steps"] = accumulation(hardware, training, answers)
    if hardware.precision is Precision.bf16:
        settings["bf16"] = {"enabled": True}
    return settings


def write_launch_files(config: RunConfig, files: dict[str, str]) -> list[Path]:
    """Write them under ``<paths.runs>/<name>/launch``; scripts can be executed."""
    folder = _folder(config)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_atomically(folder / name, text.encode())
            if not name.endswith(".json"):
                (folder / name).chmod(0o755)
    except OSError as error:
        raise DataError(f"cannot write to {folder} ({error.strerror}): free space there or set paths.runs") from None
    return [folder / name for name in files]


def _folder(config: RunConfig) -> Path:
    return Path(config.paths.runs, config.name, "launch").absolute()
