"""Where the numbers come from: versions, isolation, model calls, wall time, fingerprints, configuration."""

from __future__ import annotations

import dataclasses
import platform
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from omegaconf import OmegaConf

from autoif.config import RunConfig
from autoif.report.collect import Report, StageView
from autoif.report.page import details, section, table, tag, text_block
from autoif.report.summary import total_seconds
from autoif.report.text import count, duration, escape, line, percent, size

PACKAGES = (
    "autoif",
    "torch",
    "transformers",
    "lightning",
    "deepspeed",
    "vllm",
    "lm_eval",
    "hydra-core",
    "msgspec",
    "openai",
)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_SHOWN_APART = ("versions", "isolation", "calls")
CALLS = {
    "asked": "asked",
    "replayed": "replayed",
    "cached": "cached",
    "failures": "failures",
    "retries": "retries",
    "tokens_in": "tokens in",
    "tokens_out": "tokens out",
    "seconds_waited": "seconds waited",
    "cost": "cost",
}
"""What stages count of their model calls, by its heading."""


def versions(report: Report) -> tuple[dict[str, str], str]:
    """Package versions and whose they are: what the stages noted, else what is installed here."""
    noted: dict[str, str] = {}
    for stage in report.stages:
        facts = stage.manifest.facts.get("versions") if stage.manifest else None
        if isinstance(facts, Mapping):
            noted |= {str(name): str(value) for name, value in facts.items()}
    if noted:
        return noted, "as the stages noted them"
    return {"python": platform.python_version()} | dict(_installed()), "installed where this report was written"


def _installed() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def isolation(report: Report) -> dict[str, list[str]]:
    """Isolation level of execution → titles of the stages that ran code under it."""
    found: dict[str, list[str]] = {}
    for stage in report.stages:
        if stage.manifest and "isolation" in stage.manifest.facts:
            found.setdefault(str(stage.manifest.facts["isolation"]), []).append(stage.title)
    return found


def calls(report: Report) -> list[tuple[str, dict[str, float]]]:
    """Stage → its counts of model calls, and their sum in a last row of all; empty when nothing was asked."""
    found = []
    for stage in report.stages:
        noted = stage.manifest.facts.get("calls") if stage.manifest else None
        if isinstance(noted, Mapping):
            counts = {name: float(noted[name]) for name in CALLS if isinstance(noted.get(name), int | float)}
            found.append((stage.title, counts))
    if len(found) > 1:
        found.append(("all", {name: sum(counts.get(name, 0.0) for _, counts in found) for name in CALLS}))
    return found


def facts(stage: StageView) -> list[tuple[str, str]]:
    """What a stage noted besides its counts, flattened: ``calls.cached`` → 1,204."""
    noted = stage.manifest.facts if stage.manifest else {}
    return [(name, value) for name, value in _flat("", noted) if name.split(".")[0] not in _SHOWN_APART]


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), inner)
    elif isinstance(value, bool) or value is None:
        yield prefix, str(value).lower()
    elif isinstance(value, int):
        yield prefix, count(value)
    elif isinstance(value, float):
        yield prefix, f"{value:.6g}"
    else:
        yield prefix, line(str(value), 200)


def plain(value: Any) -> Any:
    """A config as plain values, all fields, with what an address may carry before its @ left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return _CREDENTIALS.sub("", value) if isinstance(value, str) else value


def config_yaml(config: RunConfig) -> str:
    """The resolved configuration as YAML."""
    # OmegaConf would read ${…} inside a value as its own; the config was resolved before it came here.
    return OmegaConf.to_yaml(OmegaConf.create(plain(config)), resolve=False)


def provenance(report: Report) -> str:
    """The provenance part of the page."""
    if not report.stages:
        return ""
    found, whose = versions(report)
    packages = table(["Package", "Version"], [[escape(k), escape(v)] for k, v in found.items()])
    levels = [[escape(level), escape(", ".join(stages))] for level, stages in isolation(report).items()]
    noted = [
        [escape(stage.title), escape(name), f"<bdi>{escape(value)}</bdi>"]
        for stage in report.stages
        for name, value in facts(stage)
    ]
    return section(
        "provenance",
        "Provenance",
        "A fingerprint covers a stage's configuration, prompts, engines and inputs: the same one names the same rows.",
        _stages(report),
        _calls(report),
        f"<h3>Isolation of executed code</h3>{table(['Level', 'Stages'], levels)}" if levels else "",
        details("What else the stages noted", table(["Stage", "Fact", "Value"], noted)) if noted else "",
        details(f"Versions, {whose}", packages),
        details("Configuration", text_block(config_yaml(report.config), "code", fold=0)),
    )


def _stages(report: Report) -> str:
    longest = max((stage.manifest.seconds for stage in report.stages if stage.manifest), default=0.0)
    whole = total_seconds(report)
    rows = []
    for stage in report.stages:
        manifest = stage.manifest
        if manifest is None:
            state = tag("damaged", "no") if stage.problem else tag("not done")
            rows.append([escape(stage.title), state, "", "", _fingerprint(stage), ""])
            continue
        width = 100 * manifest.seconds / longest if longest else 0
        share = f", {percent(manifest.seconds / whole, 0)}" if whole else ""
        rows.append(
            [
                escape(stage.title),
                f'<span style="width:{width:.1f}%" title="{escape(duration(manifest.seconds) + share)}"></span>',
                duration(manifest.seconds),
                count(manifest.kept),
                _fingerprint(stage),
                size(manifest.records_bytes),
            ]
        )
    head = ["Stage", "Wall time", "", "Rows kept", "Fingerprint", "Size"]
    return table(head, rows, [2, 3, 5], kind="bars wide").replace("<td><span style", '<td class="bar"><span style')


def _calls(report: Report) -> str:
    found = calls(report)
    used = [name for name in CALLS if any(counts.get(name) for _, counts in found)]
    rows = [[escape(title), *(f"{counts.get(name, 0):,.10g}" for name in used)] for title, counts in found]
    return (
        f"<h3>Model calls</h3>{table(['Stage', *(CALLS[name] for name in used)], rows, range(1, len(used) + 1))}"
        if rows
        else ""
    )


def _fingerprint(stage: StageView) -> str:
    return f'<code title="{escape(stage.fingerprint)}">{escape(stage.fingerprint[:10])}</code>'
