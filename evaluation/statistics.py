"""Intervals and paired tests: pure functions over numbers, seeded where they resample.

Proportions get Wilson intervals, means and ratios percentile bootstraps over *items*: the parts of one item (IFEval's
instructions, a conversation's turns) stand or fall together, so an item is drawn with all its parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

RESAMPLES = 10_000
_CHUNK = 4_000_000
"""Random indices held at once: 32 MB, whatever the number of items."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its interval, in the value's unit; ``n`` is what was counted."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus baseline on the same items.

    ``gained`` / ``lost``: items on which the candidate does better / worse. ``p_value`` is two-sided.
    """

    value: float
    low: float
    high: float
    p_value: float
    gained: int
    lost: int
    n: int
    test: str


def z_value(confidence: float) -> float:
    """Two-sided normal quantile: 1.959964 for 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """Wilson's score interval for a proportion (Wilson 1927). Raises ValueError unless 0 ≤ successes ≤ n, n > 0."""
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes of {n}")
    z = z_value(confidence)
    share, spread = successes / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    # Rounding may leave the exact end points 0 and 1 a hair outside.
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Estimate(share, min(low, share), max(high, share), n)


def bootstrap(
    sums: Sequence[float],
    counts: Sequence[int] | None = None,
    seed: int = 0,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Percentile bootstrap of ``sum(sums) / sum(counts)`` over items.

    ``sums[i]``, ``counts[i]``: total and number of item i's parts; without ``counts`` every item is one part, and
    the value is the mean. ``n`` of the result is the number of parts.
    """
    totals, parts = _items(sums, counts)
    low, high = _interval(_resample([totals, parts], _ratio, seed, resamples), confidence)
    return Estimate(float(totals.sum() / parts.sum()), low, high, int(parts.sum()))


def stratified_bootstrap(
    strata: Sequence[Sequence[float]], seed: int = 0, confidence: float = 0.95, resamples: int = RESAMPLES
) -> Estimate:
    """Percentile bootstrap of the mean of the strata's means, each stratum resampled within itself.

    ``n`` of the result is the number of values in all strata.
    """
    columns = [_items(values, None)[0] for values in strata]
    drawn = [_resample([column], _mean, seed + place, resamples) for place, column in enumerate(columns)]
    low, high = _interval(np.mean(drawn, axis=0), confidence)
    value = float(np.mean([column.mean() for column in columns]))
    return Estimate(value, low, high, sum(map(len, columns)))


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided McNemar test: probability, under fair coins, of a split of the discordant items as uneven."""
    discordant = gained + lost
    tail = sum(math.comb(discordant, k) for k in range(min(gained, lost) + 1))
    return float(min(Fraction(1), Fraction(2 * tail, 2**discordant)))


def paired_proportions(baseline: Sequence[bool], candidate: Sequence[bool], confidence: float = 0.95) -> Difference:
    """Difference of two proportions on the same items: exact McNemar p-value, Agresti–Min interval (2005).

    The interval adds half an observation to each cell of the 2 × 2 table, so it keeps a width when no item flips.
    """
    n = _same_length(baseline, candidate)
    gained = sum(new and not old for old, new in zip(baseline, candidate, strict=True))
    lost = sum(old and not new for old, new in zip(baseline, candidate, strict=True))
    total = n + 2
    centre = (gained - lost) / total
    spread = math.sqrt((gained + lost + 1) - (gained - lost) ** 2 / total) / total
    half = z_value(confidence) * spread
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    return Difference((gained - lost) / n, low, high, mcnemar(gained, lost), gained, lost, n, "mcnemar")


def paired_bootstrap(
    baseline: Sequence[float],
    candidate: Sequence[float],
    counts: Sequence[int] | None = None,
    seed: int = 0,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Difference:
    """Difference of two means (ratios with ``counts``, as in :func:`bootstrap`) on the same items, resampled in pairs.

    The p-value is twice the smaller share of resamples on either side of zero, counting the sample itself, so it is
    never 0. ``n`` is the number of parts.
    """
    _same_length(baseline, candidate)
    deltas = [new - old for old, new in zip(baseline, candidate, strict=True)]
    totals, parts = _items(deltas, counts)
    draws = _resample([totals, parts], _ratio, seed, resamples)
    low, high = _interval(draws, confidence)
    sides = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    p_value = min(1.0, 2 * (sides + 1) / (len(draws) + 1))
    gained, lost = int((totals > 0).sum()), int((totals < 0).sum())
    value = float(totals.sum() / parts.sum())
    return Difference(value, low, high, p_value, gained, lost, int(parts.sum()), "paired_bootstrap")


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n − 1) over seeds; the deviation of a single value is 0."""
    if not values:
        raise ValueError("no values")
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _ratio(totals: Array, parts: Array) -> Array:
    ratio: Array = totals.sum(axis=1) / parts.sum(axis=1)
    return ratio


def _mean(values: Array) -> Array:
    mean: Array = values.mean(axis=1)
    return mean


def _items(sums: Sequence[float], counts: Sequence[int] | None) -> tuple[Array, Array]:
    totals = np.asarray(sums, dtype=np.float64)
    parts = np.ones_like(totals) if counts is None else np.asarray(counts, dtype=np.float64)
    if not len(totals) or totals.shape != parts.shape or (parts <= 0).any():
        raise ValueError("a bootstrap needs at least one item, and at least one part in each")
    return totals, parts


def _resample(columns: list[Array], statistic: Callable[..., Array], seed: int, resamples: int) -> Array:
    """``statistic`` of ``resamples`` draws of all items with replacement, some draws at a time."""
    rng, n = np.random.default_rng(seed), len(columns[0])
    step = max(1, _CHUNK // n)
    drawn = []
    for start in range(0, resamples, step):
        index = rng.integers(0, n, size=(min(step, resamples - start), n))
        drawn.append(statistic(*(column[index] for column in columns)))
    return np.concatenate(drawn)


def _interval(draws: Array, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def _same_length(baseline: Sequence[float], candidate: Sequence[float]) -> int:
    if not baseline or len(baseline) != len(candidate):
        raise ValueError(f"{len(baseline)} and {len(candidate)} items cannot be paired")
    return len(baseline)
