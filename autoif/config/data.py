"""The data group: what SFT learns from."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from autoif.config.common import NOT_IDENTITY


class Data(Enum):
    """The verified answers that synthesis makes, conversations of ShareGPT (the paper's baseline, §4.1), or both."""

    synthesis = "synthesis"
    sharegpt = "sharegpt"
    mixed = "mixed"


@dataclass(kw_only=True, slots=True)
class DataConfig:
    """``path``: the ShareGPT dump (JSON list or JSONL). ``conversations``: how many of it, chosen by the seed (paper:
    20 000 at random). ``general_share``: with ``kind`` mixed, the share of conversations among all samples."""

    kind: Data = Data.synthesis
    path: str | None = field(default=None, metadata=NOT_IDENTITY)
    conversations: int = 20_000
    general_share: float = 0.2
