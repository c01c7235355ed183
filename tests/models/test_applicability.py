from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from scipy.spatial.distance import cdist

from matscout.db.candidates import CandidateTable
from matscout.db.prototypes import Prototype
from matscout.models import applicability
from matscout.models.applicability import NEIGHBOURS, USUAL, Domain
from matscout.models.inputs import FeatureInputs, as_inputs

ROCK_SALT = Prototype(
    "NaCl", "AB_cF8_225_a_b", ("A", "X"), 2.82 * (1 - np.eye(3)), [[0, 0, 0], [0.5, 0.5, 0.5]], [0, 1]
)
OXIDES = ["MgO", "CaO", "SrO", "BaO", "Al2O3", "Ga2O3", "TiO2", "ZrO2", "HfO2", "SnO2", "ZnO", "CdO"]
ALLOYS = ["MgZn2", "CaAl2", "SrGa4", "BaCd2", "TiAl", "ZrZn2", "HfAl2", "MgCd", "SnMg2", "GaTi2"]


def mixed(n, seed=0, p=30):
    """Rows in five directions of p columns, with a little of the others."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(5, p))
    return FeatureInputs(rng.normal(size=(n, 5)) @ mixing + 0.1 * rng.normal(size=(n, p)))


def test_in_few_columns_it_is_the_mean_distance_to_the_nearest_in_standardised_ones():
    rng = np.random.default_rng(0)
    X, Q = rng.normal(size=(60, 3)) * [1, 10, 100], rng.normal(size=(20, 3)) * [1, 10, 100]
    std = X.std(axis=0)
    among = np.sort(cdist(X / std, X / std), axis=1)[:, 1 : NEIGHBOURS + 1].mean(axis=1)
    to = np.sort(cdist(Q / std, X / std), axis=1)[:, :NEIGHBOURS].mean(axis=1)
    found = Domain.fit(FeatureInputs(X)).distance(FeatureInputs(Q))
    np.testing.assert_allclose(found, to / np.quantile(among, USUAL), atol=1e-5)


def test_rows_of_the_training_distribution_lie_within_and_far_ones_without():
    domain = Domain.fit(mixed(500))
    inside = domain.distance(mixed(1000, seed=1)) <= 1
    assert inside.mean() == pytest.approx(USUAL, abs=0.04)
    assert (domain.distance(FeatureInputs(mixed(100, seed=2).values * 10)) > 1).mean() > 0.9


def test_it_grows_on_the_way_out():
    domain = Domain.fit(mixed(200))
    way = np.linspace(0, 20, 15)[:, None] * mixed(1, seed=3).values
    assert (np.diff(domain.distance(FeatureInputs(way))[3:]) > 0).all()


def test_a_row_that_is_odd_in_a_direction_without_variance_is_far():
    X = mixed(300)
    across = np.random.default_rng(5).normal(size=30)
    plane = np.linalg.svd(X.values, full_matrices=False)[2][:5]
    across -= plane.T @ (plane @ across)
    odd = FeatureInputs(X.values[:20] + 10 * across / np.linalg.norm(across))
    assert (Domain.fit(X).distance(odd) > 1).all()


def test_another_value_in_a_column_that_was_constant_is_outside():
    X = mixed(100).values
    X[:, 4] = 2.5
    domain = Domain.fit(FeatureInputs(X))
    Q = X[:2].copy()
    Q[1, 4] = 2.6
    same, other = domain.distance(FeatureInputs(Q))
    assert same < 1 < other
    single = domain.distance(FeatureInputs(Q.astype(np.float32)))
    assert single.tolist() == pytest.approx([same, other], abs=1e-4)


def test_new_groups_are_usual_where_groups_are_measured_against_each_other():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(60), 20)
    centres = 3 * rng.normal(size=(120, 4))
    X = FeatureInputs(centres[group] + 0.1 * rng.normal(size=(1200, 4)))
    new = FeatureInputs(centres[60 + group] + 0.1 * rng.normal(size=(1200, 4)))
    assert (Domain.fit(X).distance(new) > 1).mean() > 0.9
    assert (Domain.fit(X, group).distance(new) > 1).mean() < 0.2
    alone = Domain.fit(X, np.zeros(1200, dtype=int))  # one single group is none
    np.testing.assert_array_equal(alone.distance(new), Domain.fit(X).distance(new))


def test_an_unknown_feature_stands_at_its_mean_where_training_rows_had_such_ones():
    X = mixed(100).values
    X[::2, 3] = np.nan
    domain = Domain.fit(FeatureInputs(X))
    gap, filled = X[1:2].copy(), X[1:2].copy()
    gap[0, 3], filled[0, 3] = np.nan, np.nanmean(X[:, 3])
    assert domain.distance(FeatureInputs(gap)) == pytest.approx(domain.distance(FeatureInputs(filled)))


def test_a_feature_unknown_for_the_first_time_is_outside():
    X = mixed(100).values
    domain = Domain.fit(FeatureInputs(X))
    gap = X[:2].copy()
    gap[0, 3] = np.nan
    outside = domain.distance(FeatureInputs(gap)) > 1
    assert outside.tolist() == [True, False]


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(1, 12))
def test_unit_and_shift_of_a_column_do_not_count(seed, n, p):
    rng = np.random.default_rng(seed)
    X, Q = rng.normal(size=(n, p)), rng.normal(size=(7, p))
    unit, shift = 10 ** rng.uniform(-2, 2, p), rng.normal(size=p)
    found = Domain.fit(FeatureInputs(X)).distance(FeatureInputs(Q))
    moved = Domain.fit(FeatureInputs(X * unit + shift)).distance(FeatureInputs(Q * unit + shift))
    np.testing.assert_allclose(moved, found, rtol=1e-4, atol=1e-4)
    assert (found >= 0).all()


@pytest.mark.parametrize("rows", [[[1.0], [2.0]], [[1.0, 1.0]] * 5, [[0.0], [0.0], [0.0], [1.0]]])
def test_few_or_equal_rows_have_a_domain(rows):
    domain = Domain.fit(FeatureInputs(np.array(rows)))
    near, far = domain.distance(FeatureInputs(np.array([rows[0], np.array(rows[0]) + 1e3])))
    assert near <= 1 < far


def test_an_element_never_trained_on_is_outside():
    domain = Domain.fit(as_inputs("compositions", OXIDES + ALLOYS))
    known = domain.distance(as_inputs("compositions", ["MgAl2O4", "CaTiO3", "BaZrO3", "SrSnO3"]))
    new = domain.distance(as_inputs("compositions", ["MgS", "LaAlO3", "CaO0.99F0.01"]))
    assert (known < 1).sum() >= 3
    assert (new > 1).all()


def test_alloys_are_far_from_oxides_and_formulas_of_one_composition_are_equal():
    domain = Domain.fit(as_inputs("compositions", OXIDES))
    oxides, alloys = (domain.distance(as_inputs("compositions", rows)) for rows in (OXIDES, ALLOYS))
    assert np.median(alloys) > 2 * np.median(oxides)
    first, second = domain.distance(as_inputs("compositions", ["Fe2O3", "O6Fe4"]))
    assert first == second


def table(pairs, volumes):
    return CandidateTable([ROCK_SALT], [0] * len(pairs), pairs, volumes)


def test_crystals_are_known_by_composition_and_volume_the_same_as_a_table_and_as_structures():
    cations, anions = [3, 11, 19, 37, 12, 20, 38], [9, 17, 35, 8, 16]
    pairs = [(a, x) for a in cations for x in anions]
    volumes = np.random.default_rng(0).uniform(8, 30, len(pairs))
    domain = Domain.fit(as_inputs("crystals", table(pairs, volumes)))
    swollen, usual = domain.distance(as_inputs("crystals", table(pairs[:1] * 2, [300.0, volumes[0]])))
    assert usual < 1 < swollen
    made = table(pairs, volumes)
    structures = [made.structure(row) for row in range(4)]
    np.testing.assert_allclose(
        domain.distance(as_inputs("crystals", structures)),
        domain.distance(as_inputs("crystals", made.take([0, 1, 2, 3]))),
    )
    metal = Structure(Lattice.cubic(2.87), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert domain.distance(as_inputs("crystals", [metal])) > 1


def test_many_rows_are_thinned_without_losing_the_domain(monkeypatch):
    whole = Domain.fit(mixed(3000))
    monkeypatch.setattr(applicability, "MOST_REFERENCES", 200)
    monkeypatch.setattr(applicability, "_MOST_CHOSEN_FROM", 1500)
    monkeypatch.setattr(applicability, "_MOST_MEASURED", 500)
    thin = Domain.fit(mixed(3000), np.arange(3000) // 3)
    assert (len(whole.references), len(thin.references)) == (2000, 200)
    inside = thin.distance(mixed(2000, seed=1)) <= 1
    assert inside.mean() == pytest.approx(USUAL, abs=0.05)
    assert (thin.distance(FeatureInputs(mixed(100, seed=2).values * 10)) > 1).mean() > 0.9
    np.testing.assert_array_equal(thin.references, Domain.fit(mixed(3000), np.arange(3000) // 3).references)


def test_rows_asked_for_alone_or_in_another_order_lie_where_they_lay(monkeypatch):
    domain, Q = Domain.fit(mixed(100)), mixed(50, seed=1)
    expected = domain.distance(Q)
    monkeypatch.setattr(applicability, "_CHUNK_ROWS", 7)
    np.testing.assert_array_equal(domain.distance(Q), expected)
    np.testing.assert_array_equal(domain.distance(Q.take(slice(None, None, -1)))[::-1], expected)
    assert domain.distance(Q.take(slice(0, 0))).shape == (0,)


def test_the_number_of_threads_does_not_count():
    from threadpoolctl import threadpool_limits

    X, Q = mixed(1500, p=300), mixed(200, seed=1, p=300)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            domain = Domain.fit(X)
            found.append((domain.axes, domain.references, domain.unit, domain.distance(Q)))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("kind", ["features", "compositions"])
def test_it_is_kept_in_one_file_without_pickle(tmp_path, kind):
    inputs = mixed(40) if kind == "features" else as_inputs("compositions", OXIDES)
    domain = Domain.fit(inputs)
    domain.save(tmp_path / "domain.npz")
    unseen = mixed(10, seed=1) if kind == "features" else as_inputs("compositions", ALLOYS)
    np.testing.assert_array_equal(Domain.load(tmp_path / "domain.npz").distance(unseen), domain.distance(unseen))
