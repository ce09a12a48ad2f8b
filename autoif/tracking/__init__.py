"""Experiment tracking besides the store: off, CSV files, TensorBoard or Weights & Biases; one module each.

A stage is logged once it has finished, from its manifest and rows; so a resumed or repeated run adds what is new and
nothing twice. TensorBoard and W&B follow the curve of a training while it runs. Curves carry their own step
(``train_sft/step``), whatever else the tracker counts.
"""

from __future__ import annotations

from autoif.config import RunConfig, Tracking, TrackingConfig
from autoif.tracking.base import MODES, BaseTracker, Tracker, run_id, slug

__all__ = ["MODES", "Off", "Tracker", "run_id", "slug", "tracker"]


def tracker(config: TrackingConfig, run: RunConfig) -> Tracker:
    """The tracker that ``config`` asks for. Nothing is opened before the first stage is logged.

    Raises:
        ConfigError: for an unknown mode.
        MissingExtraError: when what is asked for is not installed.
    """
    match config.kind:
        case Tracking.off:
            return Off()
        case Tracking.csv:
            from autoif.tracking.csv_files import CsvTracker

            return CsvTracker(run)
        case Tracking.tensorboard:
            from autoif.tracking.tensorboard import TensorBoardTracker

            return TensorBoardTracker(run)
        case Tracking.wandb:
            from autoif.tracking.wandb_run import WandbTracker

            return WandbTracker(config, run)


class Off(BaseTracker):
    """Tracks nothing: the store and the report hold everything."""
