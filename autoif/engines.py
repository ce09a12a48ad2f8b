"""The engines a run needs, made on first use and closed together: generation, execution.

Stage functions reach models and the execution engine only through this object, so a plan or a resumed run that
needs none of them loads none of them.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from autoif.config import Accelerator, RunConfig, SupervisorConfig
from autoif.errors import ConfigError
from autoif.generation import Generator

if TYPE_CHECKING:
    from autoif.execution import ExecutionEngine
    from autoif.synthesis.nli_model import NliModel


class Engines:
    """Lazily made engines of one run. Use as a context manager."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._supervisor: Generator | None = None
        self._execution: ExecutionEngine | None = None
        self._nli: NliModel | None = None
        self._judges: dict[str, Generator] = {}

    @property
    def supervisor(self) -> Generator:
        """What writes functions, answers and judgments; calls go through the cache."""
        if self._supervisor is None:
            from autoif.generation.factory import supervisor

            self._supervisor = supervisor(self._config)
        return self._supervisor

    def examinee(self, model: Path | None, identity: str) -> Generator:
        """As :meth:`policy`, through the engine of ``evaluation.engine``."""
        from autoif.models import folder_hash
        from evaluation.backends import answering

        return answering(self._config, model, f"{identity}:{folder_hash(model)}" if model else identity)

    def scorer(self, model: Path | None) -> Any:
        """lm-eval's model over an exported folder, or over the run's base model when ``model`` is None."""
        from evaluation.backends import log_likelihoods

        return log_likelihoods(self._config, model)

    @property
    def judge(self) -> Generator:
        """What judges answers to benchmarks; the supervisor itself where both are configured alike."""
        return self._judging("judge", self._config.evaluation.judge)

    @property
    def second_judge(self) -> Generator:
        """What judges a sample of them again."""
        return self._judging("second judge", self._config.evaluation.second_judge)

    @property
    def execution(self) -> ExecutionEngine:
        """What runs verification functions."""
        if self._execution is None:
            from autoif.execution import ExecutionEngine

            self._execution = ExecutionEngine(self._config.execution).__enter__()
        return self._execution

    def _judging(self, role: str, chosen: SupervisorConfig | None) -> Generator:
        if chosen is None:
            raise ConfigError(f"there is no {role}: add supervisor@evaluation.{role.replace(' ', '_')}=openai")
        if chosen == self._config.supervisor:
            return self.supervisor
        if role not in self._judges:
            from autoif.generation.factory import supervisor

            self._judges[role] = supervisor(dataclasses.replace(self._config, supervisor=chosen))
        return self._judges[role]

    def nli(self, model: str) -> NliModel:
        """The NLI classifier ``model`` (hub id or folder), loaded once a run where the hardware profile computes."""
        if self._nli is None:
            from autoif.synthesis.nli_model import NliModel

            device = "cuda" if self._config.hardware.accelerator is Accelerator.gpu else "cpu"
            self._nli = NliModel(model, device=device)
        return self._nli

    def policy(self, model: Path | None, identity: str) -> Generator:
        """A local model as a generator: an exported folder, or the run's base model when ``model`` is None.

        The caller closes it. ``identity`` says how the weights came about; with a hash of the weights themselves it
        names them in the call cache, so answers of a model trained by other code are never taken for this one's.
        """
        from autoif.generation.factory import policy
        from autoif.models import folder_hash

        return policy(self._config, model, f"{identity}:{folder_hash(model)}" if model else identity)

    def close(self) -> None:
        """Close whatever was made."""
        if self._supervisor is not None:
            self._supervisor.close()
        for judge in self._judges.values():
            judge.close()
        self._judges = {}
        if self._execution is not None:
            self._execution.close()
        self._supervisor = self._execution = self._nli = None

    def __enter__(self) -> Engines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
