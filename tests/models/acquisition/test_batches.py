from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from matscout.errors import UserError
from matscout.models.acquisition import BATCH_METHODS, batch_options, choose_batch
from matscout.models.acquisition.diversity import (
    _squared_distances,
    determinantal,
    farthest,
    local_penalization,
    standardised,
)

DIVERSE = [method for method in BATCH_METHODS if method != "top"]


def blobs(n=300, seed=0):
    """Rows in three clusters, the scores the higher the nearer to the first cluster's centre."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]])
    cluster = rng.integers(3, size=n)
    features = centres[cluster] + 0.3 * rng.normal(size=(n, 2))
    mean = np.linalg.norm(features, axis=1) / 10
    return cluster, features, mean, np.full(n, 0.2)


def choose(method, score, size, features, mean, std, **more):
    """Call any method with what it needs."""
    known = {"mean": mean, "std": std}
    needed = {name: known[name] for name in batch_options(method) if name in known}
    return choose_batch(score, size, features, method, **needed, **more)


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, np.nan, -np.inf]), max_size=12), st.integers(0, 14))
def test_the_top_is_a_stable_sort(score, size):
    scores = np.array(score, dtype=float)
    order = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")
    known = [row for row in order.tolist() if scores[row] > -np.inf]
    assert choose_batch(scores, size).tolist() == known[:size]


@pytest.mark.parametrize("method", BATCH_METHODS)
def test_a_batch_holds_allowed_rows_once_the_best_of_all_first(method):
    _, features, mean, std = blobs()
    score = 1 - mean
    score[:20] = np.nan
    taken = np.zeros(300, dtype=bool)
    taken[20:60] = True
    chosen = choose(method, score, 30, features, mean, std, taken=taken)
    assert len(set(chosen.tolist())) == 30
    assert chosen.min() >= 60
    assert chosen[0] == 60 + score[60:].argmax()
    assert (choose(method, score, 30, features, mean, std, taken=taken) == chosen).all()


@pytest.mark.parametrize("method", BATCH_METHODS)
def test_all_are_chosen_where_there_are_no_more(method):
    _, features, mean, std = blobs(8)
    assert sorted(choose(method, 1 - mean, 20, features, mean, std).tolist()) == list(range(8))
    assert choose(method, 1 - mean, 0, features, mean, std).tolist() == []
    everything = np.ones(8, dtype=bool)
    assert choose(method, 1 - mean, 3, features, mean, std, taken=everything).tolist() == []


@pytest.mark.parametrize("method", DIVERSE)
def test_a_diverse_batch_sees_more_than_the_best_cluster(method):
    cluster, features, mean, std = blobs()
    score = 1 - mean
    assert set(cluster[choose_batch(score, 6)]) == {0}
    diverse = choose(method, score, 6, features, mean, std, shortlist=300)
    assert set(cluster[diverse]) == {0, 1, 2}


@pytest.mark.parametrize("method", DIVERSE)
def test_a_batch_keeps_away_from_what_is_pending(method):
    cluster, features, mean, std = blobs()
    score = np.ones(300)  # so that distances alone decide
    pending = np.flatnonzero(cluster != 1)[:100]
    options = {"weight": 0.0} if method == "determinantal" else {"lipschitz": 1.0} if method.startswith("local") else {}
    chosen = choose(method, score, 2, features, mean, std, pending=pending, shortlist=300, **options)
    assert not set(chosen.tolist()) & set(pending.tolist())
    assert 1 in cluster[chosen]


@pytest.mark.parametrize("method", DIVERSE)
def test_the_best_of_equal_rows_alone_is_worth_its_place(method):
    features = np.array([[0.0], [0.0], [0.0], [1.0], [2.0]])
    mean = np.array([0.0, 0.01, 0.02, 0.2, 0.3])
    chosen = choose(method, 1 - mean, 3, features, mean, np.full(5, 0.1))
    assert sorted(chosen.tolist()) == [0, 3, 4]


@pytest.mark.parametrize("method", DIVERSE)
def test_only_the_shortlist_is_looked_at(method):
    _, features, mean, std = blobs()
    worst = np.argsort(mean)[50:]
    with_nonsense = features.copy()
    with_nonsense[worst] = np.inf
    chosen = choose(method, 1 - mean, 5, with_nonsense, mean, std, shortlist=50)
    assert chosen.tolist() == choose(method, 1 - mean, 5, features, mean, std, shortlist=50).tolist()
    assert not set(chosen.tolist()) & set(worst.tolist())


@given(st.integers(0, 1000), st.floats(0, 0.99))
def test_a_determinantal_batch_is_the_greedy_one_by_determinants(seed, weight):
    rng = np.random.default_rng(seed)
    score, features = np.sort(rng.normal(size=12))[::-1], rng.normal(size=(12, 3))
    similar = np.exp(-0.5 * np.array([_squared_distances(features, row) for row in features]))
    quality = (score - score[-1]) / (score[0] - score[-1])

    def value(rows):
        return weight * quality[rows].sum() + (1 - weight) * np.linalg.slogdet(similar[np.ix_(rows, rows)])[1]

    expected: list[int] = []
    for _ in range(5):
        left = [row for row in range(12) if row not in expected]
        expected.append(max(left, key=lambda row: value([*expected, row])))
    assert determinantal(score, 5, features, weight=weight, length=1.0) == expected


def test_the_weight_goes_from_diversity_to_scores():
    _, features, mean, _ = blobs()
    order = np.argsort(mean)
    score, rows = 1 - mean[order], standardised(features[order])
    assert determinantal(score, 10, rows, weight=1.0) == list(range(10))
    sums = [score[determinantal(score, 10, rows, weight=weight)].sum() for weight in (0.0, 0.5, 0.9, 1.0)]
    assert sums == sorted(sums)


def test_penalties_are_those_of_the_paper():
    score, mean, std = np.array([0.9, 0.8, 0.7]), np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.2, 0.1])
    features = np.array([[0.0], [0.5], [3.0]])
    for lipschitz, second in ((1.0, 1), (0.4, 2)):  # the steeper the objective may be, the smaller the ball
        left = score * norm.cdf((lipschitz * np.abs(features[:, 0]) - (0.1 - 0.0)) / 0.1)
        assert left[1:].argmax() + 1 == second
        options = {"mean": mean, "std": std, "best": 0.0, "lipschitz": lipschitz}
        assert local_penalization(score, 2, features, **options) == [0, second]


def test_a_score_that_is_worth_nothing_comes_last_and_one_below_zero_is_made_positive():
    mean, std, features = np.zeros(3), np.full(3, 0.1), np.array([[0.0], [1.0], [0.01]])
    options = {"mean": mean, "std": std, "lipschitz": 1.0}
    assert local_penalization(np.array([1.0, 0.0, 0.0]), 3, features, **options)[0] == 0
    assert local_penalization(np.array([-1.0, -1.1, -1.2]), 3, features, **options) == [0, 1, 2]


def test_the_farthest_row_follows_the_best():
    features = np.array([[0.0], [0.4], [1.0], [0.9]])
    assert farthest(np.array([4.0, 3.0, 2.0, 1.0]), 3, features) == [0, 2, 1]
    # a row behind the scores is pending
    assert farthest(np.array([4.0, 3.0, 2.0]), 2, features) == [0, 1]


def test_an_unknown_feature_counts_as_the_mean():
    features = standardised(np.array([[0.0, 5.0], [np.nan, 5.0], [2.0, 5.0]]))
    assert features.tolist() == [[-1, 0], [0, 0], [1, 0]]


@pytest.mark.parametrize("method", DIVERSE)
def test_what_is_missing_or_wrong_is_named(method):
    _, features, mean, std = blobs(20)
    with pytest.raises(UserError, match=f"method {method} needs the features"):
        choose(method, 1 - mean, 2, None, mean, std)
    with pytest.raises(ValueError, match=r"expected features of shape \(20, n_features\)"):
        choose(method, 1 - mean, 2, features[:5], mean, std)
    with pytest.raises(ValueError, match=r"taken must be a mask of shape \(20,\)"):
        choose(method, 1 - mean, 2, features, mean, std, taken=[1, 2])
    with pytest.raises(ValueError, match="pending must be row numbers from 0 to 19"):
        choose(method, 1 - mean, 2, features, mean, std, pending=[20])


def test_what_is_missing_or_wrong_for_one_method_is_named():
    _, features, mean, std = blobs(20)
    with pytest.raises(UserError, match=r"option method must be one of .*Did you mean determinantal?"):
        choose_batch(1 - mean, 2, features, "determinental")
    with pytest.raises(UserError, match=r'method top has no option "weight"'):
        choose_batch(1 - mean, 2, weight=0.5)
    with pytest.raises(UserError, match="needs mean and std"):
        choose_batch(1 - mean, 2, features, "local_penalization")
    nan = np.where(np.arange(20) == 3, np.nan, mean)
    with pytest.raises(ValueError, match="mean is not finite in row 3"):
        choose_batch(1 - mean, 2, features, "local_penalization", mean=nan, std=std)
    with pytest.raises(ValueError, match=r"score must have the shape \(n,\)"):
        choose_batch([[1.0]], 1)
