"""The whole examination: the machine, its isolation, the hub, benchmarks, keys, and the profiles that would run."""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from autoif.config import ExecutionConfig, OpenAISupervisor, RunConfig
from autoif.doctor.machine import Machine, guarded, probe
from autoif.doctor.profiles import Profile, profiles
from autoif.errors import AutoifError

HUB_SECONDS = 2.0
"""How long the hub may take to answer; the examination as a whole stays under five seconds."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found. ``isolation``: the execution engine's level and what keeps it from a higher one. ``hub``: empty
    when it answers, else why not. ``benchmarks``: name → empty when its data is at hand, else what is missing.
    ``keys``: environment variable → whether it is set; values are never looked at."""

    machine: Machine
    isolation: str
    hub: str
    data_dir: str | None
    benchmarks: dict[str, str]
    keys: dict[str, bool]
    profiles: list[Profile]


def examine(config: RunConfig) -> Examination:
    """Examine this machine for ``config``. Never raises."""
    hub = _later(_hub)
    machine = probe()
    return Examination(
        machine=machine,
        isolation=_isolation(config.execution),
        data_dir=config.evaluation.data_dir,
        benchmarks=guarded(lambda: _benchmarks(config), {}),
        keys=_keys(config),
        profiles=guarded(lambda: profiles(machine), []),
        hub=hub(),
    )


def _later(look: Callable[[], str]) -> Callable[[], str]:
    """Start ``look`` in the background; the result waits for it, but not for long: a name server may not answer."""
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(look()), daemon=True)
    thread.start()

    def result() -> str:
        thread.join(HUB_SECONDS)
        return found[0] if found else "does not answer"

    return result


def _hub() -> str:
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        return "turned off by HF_HUB_OFFLINE"
    try:
        from huggingface_hub.constants import ENDPOINT

        request = urllib.request.Request(ENDPOINT, method="HEAD")
        with urllib.request.urlopen(request, timeout=HUB_SECONDS):
            return ""
    except ImportError:
        return "huggingface_hub is not installed"
    except urllib.error.HTTPError:
        return ""  # it answered
    except Exception as error:
        reason = getattr(error, "reason", error)
        return f"cannot be reached ({' '.join(str(reason).split())[:120] or type(error).__name__})"


def _isolation(settings: ExecutionConfig) -> str:
    from autoif.execution import ExecutionEngine

    try:
        with ExecutionEngine(replace(settings, workers=1, minimum_isolation=0)) as engine:
            return str(engine.isolation)
    except AutoifError as error:
        return str(error)
    except Exception as error:
        return f"cannot be told ({type(error).__name__}: {error})"


def _benchmarks(config: RunConfig) -> dict[str, str]:
    from evaluation import registry

    def missing(section: str) -> str:
        return registry.benchmark(section).missing(config.evaluation.data_dir) or ""

    return {section: guarded(partial(missing, section), "cannot be told") for section in registry.PLACES}


def _keys(config: RunConfig) -> dict[str, bool]:
    names = ["OPENAI_API_KEY", "HF_TOKEN", "WANDB_API_KEY"]
    asked = (config.supervisor, config.evaluation.judge, config.evaluation.second_judge)
    names += [who.api_key_env for who in asked if isinstance(who, OpenAISupervisor)]
    return {name: bool(os.environ.get(name)) for name in dict.fromkeys(names)}
