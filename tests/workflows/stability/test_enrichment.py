from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscout.workflows.stability import RandomSearch, ceiling, random_search
from matscout.workflows.stability.enrichment import enrichment

spaces = st.integers(1, 500).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, n)))


def test_agrees_with_counting_by_hand():
    # 2 stable of 4, 2 drawn: 0, 1, 2 found in 1, 4, 1 of the 6 draws.
    assert random_search(4, 2, 2) == RandomSearch(1.0, 0, 2)


def test_agrees_with_drawing():
    rng = np.random.default_rng(0)
    found = rng.hypergeometric(60, 552, 90, size=200_000)
    mean, low, high = random_search(612, 60, 90)
    assert mean == pytest.approx(found.mean(), abs=0.05)
    assert (found < low).mean() <= 0.05 < (found <= low).mean()
    assert (found > high).mean() <= 0.05 < (found >= high).mean()


@given(spaces)
def test_the_mean_lies_in_the_band_and_the_band_is_possible(space):
    n, stable, drawn = space
    mean, low, high = random_search(n, stable, drawn)
    assert max(0, stable + drawn - n) <= low <= math.ceil(mean)
    assert math.floor(mean) <= high <= min(stable, drawn)


@given(spaces)
def test_nothing_found_exceeds_the_ceiling(space):
    n, stable, drawn = space
    if stable and drawn:
        assert enrichment(min(stable, drawn), n, stable, drawn) == pytest.approx(ceiling(n, stable, drawn))
        assert ceiling(n, stable, drawn) == pytest.approx(min(n / stable, n / drawn))


def test_an_estimate_that_is_no_whole_number_is_rounded_for_the_band_alone():
    mean, low, high = random_search(612, 59.6, 90)
    assert mean == pytest.approx(59.6 * 90 / 612)
    assert (low, high) == random_search(612, 60, 90)[1:]


def test_where_nothing_is_stable_or_drawn_there_is_no_enrichment():
    assert random_search(612, 0, 90) == (0.0, 0, 0)
    assert random_search(0, 0, 0) == (0.0, 0, 0)
    assert math.isnan(ceiling(612, 0, 90))
    assert math.isnan(enrichment(0, 612, 60, 0))


def test_more_than_there_are_is_refused():
    with pytest.raises(ValueError, match="700 drawn of 612 candidates"):
        random_search(612, 60, 700)
    with pytest.raises(ValueError, match="-1 stable of 612 candidates"):
        ceiling(612, -1, 10)
