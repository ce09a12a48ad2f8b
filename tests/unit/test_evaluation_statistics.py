"""Intervals and paired tests: values worked out by hand or published, and properties that must always hold."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.statistics import (
    bootstrap,
    mcnemar,
    mean_and_sd,
    paired_bootstrap,
    paired_proportions,
    wilson,
)

few = {"resamples": 200}
relaxed = settings(deadline=None, max_examples=40)


def test_wilson_equals_values_worked_out_by_hand():
    # 8 of 10: centre (0.8 + 0.19207) / 1.38415, half-width 1.41603 * sqrt(0.016 + 0.0096036).
    found = wilson(8, 10)
    assert (found.value, found.n) == (0.8, 10)
    assert found.low == pytest.approx(0.490162, abs=1e-6)
    assert found.high == pytest.approx(0.943318, abs=1e-6)
    assert wilson(0, 10).high == pytest.approx(1.959964**2 / (10 + 1.959964**2), abs=1e-6)


@relaxed
@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_contains_the_share_inside_the_unit_interval_and_mirrors(case):
    successes, n = case
    found, mirrored = wilson(successes, n), wilson(n - successes, n)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-9)
    assert wilson(successes * 4, n * 4).high - wilson(successes * 4, n * 4).low < found.high - found.low


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(successes, n):
    with pytest.raises(ValueError, match="successes"):
        wilson(successes, n)


def test_exact_mcnemar_equals_the_binomial_tail():
    # 2 * (C(12,0) + C(12,1) + C(12,2)) / 2**12 = 2 * 79 / 4096
    assert mcnemar(2, 10) == pytest.approx(158 / 4096)
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(0, 0) == mcnemar(3, 3) == 1.0


@relaxed
@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_symmetric_and_a_probability(gained, lost):
    assert mcnemar(gained, lost) == mcnemar(lost, gained)
    assert 0 < mcnemar(gained, lost) <= 1 or gained + lost > 300


def test_paired_proportions_by_hand():
    baseline = [True] * 6 + [False] * 14
    candidate = [True] * 5 + [False] + [True] * 7 + [False] * 7
    found = paired_proportions(baseline, candidate)
    assert (found.gained, found.lost, found.n) == (7, 1, 20)
    assert found.value == pytest.approx(0.3)
    assert found.p_value == pytest.approx(2 * (1 + 8) / 256)
    # Agresti-Min: centre 6/22, standard error sqrt(9 - 36/22) / 22.
    half = 1.959964 * math.sqrt(9 - 36 / 22) / 22
    assert found.low == pytest.approx(6 / 22 - half, abs=1e-6)
    assert found.high == pytest.approx(6 / 22 + half, abs=1e-6)


@relaxed
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_swapping_the_models_mirrors_the_difference(pairs):
    old, new = [a for a, _ in pairs], [b for _, b in pairs]
    there, back = paired_proportions(old, new), paired_proportions(new, old)
    assert there.value == -back.value
    assert there.p_value == back.p_value
    assert there.low == pytest.approx(-back.high)
    assert -1 <= there.low <= there.high <= 1
    assert there.high > there.low


@relaxed
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(0, 9))
def test_bootstrap_stays_within_the_data_and_repeats_with_its_seed(values, seed):
    found = bootstrap(values, seed=seed, **few)
    assert found == bootstrap(values, seed=seed, **few)
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    assert found.value == pytest.approx(sum(values) / len(values))


def test_bootstrap_of_a_normal_sample_agrees_with_the_textbook_interval():
    import numpy as np

    values = np.random.default_rng(3).normal(0.5, 0.1, 400)
    found = bootstrap(list(values))
    half = 1.96 * values.std(ddof=1) / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.002)
    assert found.high == pytest.approx(values.mean() + half, abs=0.002)


def test_parts_of_an_item_are_drawn_together():
    # Ten items of five parts, half the items all right and half all wrong: as uncertain as ten items, not as fifty.
    together = bootstrap([5.0, 0.0] * 5, [5] * 10)
    apart = bootstrap([1.0, 0.0] * 25)
    assert together.value == apart.value == 0.5
    assert together.n == apart.n == 50
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_uneven_parts_are_weighed_by_number():
    assert bootstrap([1.0, 0.0], [1, 3], **few).value == 0.25


def test_paired_bootstrap_sees_a_steady_gain_that_unpaired_noise_would_hide():
    baseline = [i / 100 for i in range(100)]
    candidate = [value + 0.01 * (1 + i % 3) for i, value in enumerate(baseline)]
    found = paired_bootstrap(baseline, candidate, **few)
    assert found.value == pytest.approx(0.0199)
    assert 0 < found.low < found.value < found.high
    assert found.p_value == pytest.approx(2 / 201)
    assert (found.gained, found.lost) == (100, 0)
    assert paired_bootstrap(baseline, baseline, **few).p_value == 1.0


def test_what_cannot_be_paired_or_resampled_is_refused():
    with pytest.raises(ValueError, match="paired"):
        paired_proportions([True], [True, False])
    with pytest.raises(ValueError, match="at least one"):
        bootstrap([])
    with pytest.raises(ValueError, match="at least one part"):
        bootstrap([1.0, 0.0], [1, 0])


def test_mean_and_sd_over_seeds():
    mean, sd = mean_and_sd([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (mean, sd) == (3.0, pytest.approx(math.sqrt(2.5)))
    assert mean_and_sd([0.7]) == (0.7, 0.0)
