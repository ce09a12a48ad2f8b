"""DeepSpeed's engine on CPU processes over gloo, for tests and small machines; Lightning's strategy insists on CUDA."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy


class CpuDeepSpeedStrategy(DeepSpeedStrategy):
    """:class:`DeepSpeedStrategy` without its CUDA checks. Needs ``DS_ACCELERATOR=cpu`` in the environment."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config=config, process_group_backend="gloo")

    @property
    def root_device(self) -> torch.device:
        return torch.device("cpu", 0)  # DeepSpeed asks for an index

    def setup_environment(self) -> None:
        DDPStrategy.setup_environment(self)

    def setup_distributed(self) -> None:
        self.set_world_ranks()
        self._init_deepspeed_distributed()
