"""Arena-Hard's style control: Bradley-Terry with answer length and markdown as covariates.

A battle's log-odds are the difference of two strengths plus what the difference in style is worth; the strengths that
remain give win rates at equal style. Features and penalties are those of the published evaluation of each version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoif.errors import DataError
from autoif.records import EvaluationItem
from evaluation.arena_hard import Given, Version
from evaluation.statistics import Array, Estimate

FEATURES = ("token_len", "header_count", "list_count", "bold_count")
_CODE = re.compile(r"```[^`]*```")
_COUNTS = {
    "header_count": (re.compile(r"^#{1,6}\s", re.MULTILINE),),
    "list_count": (re.compile(r"^\s*\d+\.\s", re.MULTILINE), re.compile(r"^\s*[-*+]\s", re.MULTILINE)),
    "bold_count": (re.compile(r"\*\*[^*\n]+\*\*"), re.compile(r"__[^_\n]+__")),
}


@dataclass(frozen=True, slots=True)
class StyleControl:
    """Win rates against the baseline at equal style, by model, and what each feature is worth (log-odds for one
    standard deviation)."""

    win_rates: dict[str, Estimate]
    coefficients: dict[str, float]


def measure(reply: str, count_tokens: Callable[[str], int]) -> dict[str, int]:
    """The style of an answer: tokens of all of it, headers, list items and bold spans outside fenced code."""
    prose = _CODE.sub("", reply)
    counts = {name: sum(len(found.findall(prose)) for found in patterns) for name, patterns in _COUNTS.items()}
    return {"token_len": count_tokens(reply), **counts}


def style_control(
    version: Version,
    items: Mapping[str, Sequence[EvaluationItem]],
    answers: Mapping[str, Mapping[str, Given]],
    category: str,
    seed: int = 0,
    resamples: int = 100,
) -> StyleControl:
    """Fit all models' battles of ``category`` together. ``items``: by model; ``answers``: by model, the baseline's too.

    Intervals: 95%, from a bootstrap over battles. Raises :class:`DataError` for answers without style counts.
    """
    baseline = version.baselines[category]
    models = sorted(items)
    outcome, who, style = [], [], []
    for place, model in enumerate(models):
        for item in items[model]:
            if item.labels[0] != category:
                continue
            mine, theirs = (_style(answers, name, item.id) for name in (model, baseline))
            for won in next(iter(item.parts.values())):
                outcome.append(won)
                who.append(place)
                style.append((mine, theirs))
    if not outcome:
        raise DataError(f"{version.name}: no battle in {category}")
    y = np.asarray(outcome)
    own, other = np.asarray(style, dtype=np.float64).transpose(1, 0, 2)
    features = _standardised(version, own, other)
    scale = 1.0 if version.drop_pair else np.log(10.0)
    design = np.zeros((len(y), len(models) + 1 + len(FEATURES)))
    design[np.arange(len(y)), who] = scale
    design[:, len(models)] = -scale
    design[:, len(models) + 1 :] = features
    # v0.1 counts each battle twice under scikit-learn's default penalty; v2.0 has no penalty to speak of.
    weight, penalty = (1.0, 1e-6) if version.drop_pair else (2.0, 1.0)
    best = fit_logistic(design, y, np.full(len(y), weight), penalty)
    rng = np.random.default_rng(seed)
    share = np.full(len(y), 1 / len(y))
    draws = [
        fit_logistic(design, y, weight * rng.multinomial(len(y), share), penalty, start=best) for _ in range(resamples)
    ]
    rates = np.stack([_rates(found, len(models), scale) for found in draws])
    low, high = np.quantile(rates, [0.025, 0.975], axis=0)
    point = _rates(best, len(models), scale)
    counts = np.bincount(who, minlength=len(models))
    return StyleControl(
        {m: Estimate(float(point[i]), float(low[i]), float(high[i]), int(counts[i])) for i, m in enumerate(models)},
        dict(zip(FEATURES, map(float, best[len(models) + 1 :]), strict=True)),
    )


def fit_logistic(
    design: Array, outcome: Array, weights: Array, penalty: float, start: Array | None = None, rounds: int = 50
) -> Array:
    """Coefficients that minimise weighted log-loss + penalty / 2 · |w|², by Newton's method.

    ``design``: (battles, features); ``outcome``: (battles,) in [0, 1], 0.5 for a tie.
    """
    coefficients: Array = np.zeros(design.shape[1]) if start is None else start.copy()
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-np.clip(design @ coefficients, -30, 30)))
        gradient = design.T @ (weights * (p - outcome)) + penalty * coefficients
        curvature = (design * (weights * p * (1 - p))[:, None]).T @ design + penalty * np.eye(design.shape[1])
        step = np.linalg.solve(curvature, gradient)
        # A model that wins everything has no finite optimum without a penalty: walk, don't leap.
        coefficients = coefficients - step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return coefficients


def _rates(coefficients: Array, models: int, scale: float) -> Array:
    rates: Array = 1 / (1 + np.exp(-scale * (coefficients[:models] - coefficients[models])))
    return rates


def _standardised(version: Version, own: Array, other: Array) -> Array:
    """(battles, 4): relative differences, each with mean 0 and standard deviation 1; a constant one is all 0."""
    if version.drop_pair:  # v2.0: markdown by token, sample deviation
        length = (own[:, :1] - other[:, :1]) / np.maximum(own[:, :1] + other[:, :1], 1)
        mine, theirs = own[:, 1:] / np.maximum(own[:, :1], 1), other[:, 1:] / np.maximum(other[:, :1], 1)
        relative, ddof = np.hstack([length, (mine - theirs) / (mine + theirs + 1)]), 1
    else:
        relative, ddof = (own - other) / (own + other + 1), 0
    centred: Array = relative - relative.mean(axis=0)
    deviation = relative.std(axis=0, ddof=ddof) if len(relative) > ddof else np.zeros(relative.shape[1])
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0)


def _style(answers: Mapping[str, Mapping[str, Given]], model: str, id: str) -> tuple[float, ...]:
    given = answers.get(model, {}).get(id)
    if given is None or given.style is None:
        raise DataError(f"style control needs the style counts of {model}'s answer to {id}: its file has none")
    return tuple(
        float(sum(value.values()) if isinstance(value, Mapping) else value)
        for value in (given.style[feature] for feature in FEATURES)
    )
