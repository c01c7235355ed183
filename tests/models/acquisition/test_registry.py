"""What holds for every acquisition."""

from __future__ import annotations

import numpy as np
import pytest

from matscout.errors import UserError
from matscout.models import acquisition
from matscout.models.acquisition import (
    ACQUISITIONS,
    get_acquisition,
    greedy,
    keywords,
    lower_confidence_bound,
)

MEAN = np.array([0.3, -0.1, 0.05, 0.2])
STD = np.array([0.1, 0.2, 0.01, 0.5])
EVERY = pytest.mark.parametrize("name", sorted(ACQUISITIONS))


def score(name, mean, std):
    """With what a campaign knows."""
    known = {"threshold": 0.025, "best": 0.05, "rng": np.random.default_rng(0)}
    return ACQUISITIONS[name](mean, std, **{word: known[word] for word in keywords(name) if word in known})


@EVERY
def test_the_unknown_stays_unknown_and_alone(name):
    found = score(name, [0.1, np.nan, 0.1, 0.1], [0.1, 0.1, np.nan, 0.0])
    assert np.isnan(found).tolist() == [False, True, True, False]


@EVERY
def test_nothing_known_and_nothing_given_are_no_errors(name):
    assert np.isnan(score(name, [np.nan, np.nan], [0.1, 0.2])).all()
    assert score(name, [], []).shape == (0,)


@EVERY
def test_far_tails_give_numbers(name):
    assert np.isfinite(score(name, [-1e6, 0.0, 1e6], [1e-6, 1e6, 1e-6])).all()


@EVERY
def test_what_is_given_is_left_as_it_was_and_not_handed_out(name):
    mean, std = MEAN.copy(), STD.copy()
    score(name, mean, std)[:] = -np.inf
    assert (mean == MEAN).all()
    assert (std == STD).all()


@EVERY
def test_a_negative_std_and_unequal_shapes_are_refused(name):
    with pytest.raises(ValueError, match=r"std must not be negative, got -0\.1"):
        score(name, [0.1, 0.1], [0.1, -0.1])
    with pytest.raises(ValueError, match="one shape"):
        score(name, [0.1, 0.1], [0.1])


def test_acquisitions_are_found_by_name_with_their_options():
    assert get_acquisition("greedy") is greedy
    bound = get_acquisition("lower_confidence_bound", kappa=3.0)
    assert (bound(MEAN, STD) == lower_confidence_bound(MEAN, STD, kappa=3.0)).all()
    assert keywords("probability") == ("threshold",)


def test_an_unknown_name_or_option_is_answered_with_the_nearest():
    with pytest.raises(
        UserError, match=r'unknown acquisition "expected-improvement"\. Did you mean expected_improvement?'
    ):
        get_acquisition("expected-improvement")
    with pytest.raises(UserError, match=r'no option "kapa"\. Did you mean kappa?'):
        get_acquisition("lower_confidence_bound", kapa=1.0)
    with pytest.raises(UserError, match=r'greedy has no option "kappa"\. It takes: none'):
        get_acquisition("greedy", kappa=1.0)


def test_every_acquisition_is_documented_and_public():
    for name, function in ACQUISITIONS.items():
        assert function.__doc__
        assert getattr(acquisition, name) is function
        assert name in acquisition.__all__
