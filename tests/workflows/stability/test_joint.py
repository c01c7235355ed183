"""P(stable, final) of rare candidates and of crowded chemical systems, against integrals and other algorithms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr, ndtri
from scipy.stats import norm, truncnorm

from matscout.workflows.stability import Hull, probability_stable_final, sampled_hulls

SALT = Hull(["NaCl"], [-2.0], formation_energies=True)
BARE = Hull(["NaCl"], [0.1], formation_energies=True)  # nothing below the elements
KNOWN = {"Li2O": -2.0, "FeO": -1.4, "Fe2O3": -1.7, "LiFeO2": -1.95, "Li5FeO4": -2.0}
OXIDES = Hull(list(KNOWN), list(KNOWN.values()), list(KNOWN), formation_energies=True)
SEEDS = range(20)


def below_both(i, mean, std, correlation, lever=1.0):
    """P(candidate i of two below 0 and below `lever` times the other), a one-dimensional integral."""
    j = 1 - i
    spread = std[j] * np.sqrt(1 - correlation**2)

    def density(u):
        x, other = mean[i] + std[i] * u, mean[j] + correlation * std[j] * u
        beaten = norm.sf(x / lever, other, spread) if spread else float(other >= x / lever)
        return norm.pdf(u) * beaten

    end = -mean[i] / std[i]
    return quad(density, end - 12, end, limit=200)[0]


def lowest_of_many(mean, std, correlation):
    """P(each crystal of one composition below 0 and the lowest), from a grid over the shared error and its own."""
    z, x = np.linspace(-9, 9, 721), np.linspace(-0.6, 0, 1201)
    own = std * np.sqrt(1 - correlation)
    score = (x - mean[:, None, None] - std * np.sqrt(correlation) * z[:, None]) / own
    density, above = norm.pdf(score) / own, norm.sf(score)
    others = np.array([np.prod(np.delete(above, i, axis=0), axis=0) for i in range(len(mean))])
    return np.trapezoid(np.trapezoid(density * others, x, axis=2) * norm.pdf(z), z, axis=1)


def with_one_shared_error(hull, formulas, mean, std, threshold):
    """P(stable, final) of each where all errors of a chemical system are one, from a hull for each of its quantiles."""
    highest = ndtr((hull.hull_energy(formulas) + threshold - mean) / std).max()
    quantiles = highest * (np.arange(400) + 0.5) / 400
    stable = np.zeros(len(formulas))
    known = list(KNOWN) if hull is OXIDES else ["NaCl"]
    for z in ndtri(quantiles):
        energies = mean + std * z
        drawn = Hull([*known, *formulas], [*hull.hull_energy(known), *energies], formation_energies=True)
        stable += drawn.own_e_above_hull()[len(known) :] <= threshold
    return stable * highest / 400


def assert_unbiased(runs, truth, factor=4.0):
    """Every run agrees with the truth within its standard errors, and their mean within what they scatter."""
    found, errors = np.array([run.probability for run in runs]), np.array([run.standard_error for run in runs])
    assert (np.abs(found - truth) <= factor * errors + 1e-15).all()
    scatter = np.maximum(found.std(axis=0), errors.min(axis=0) / 10) / np.sqrt(len(runs))
    assert (np.abs(found.mean(axis=0) - truth) <= 4 * scatter).all()


@pytest.mark.parametrize("correlation", [0.2, 0.5, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("above", [0.1, 0.35, 0.45])
def test_two_rare_crystals_agree_with_an_integral(correlation, above):
    mean, std = np.array([above, above + 0.01]), np.array([0.1, 0.11])
    truth = [below_both(i, mean, std, correlation) for i in (0, 1)]
    runs = [
        probability_stable_final(SALT, ["NaCl", "NaCl"], mean - 2.0, std, correlation=correlation, seed=seed)
        for seed in SEEDS
    ]
    assert_unbiased(runs, truth)
    for run in runs:
        assert run.standard_error.min() > 0
        assert run.standard_error.max() < 0.06 * run.now.max()
        assert run.expected_compositions.mean == pytest.approx(run.expected.mean, rel=1e-12)


@pytest.mark.parametrize("correlation", [0.3, 0.95, 1.0])
def test_two_rare_compositions_agree_with_an_integral(correlation):
    # Without other phases NaCl at energy e puts the hull at 2/3 e for Na2Cl, and Na2Cl puts it at 3/4 e for NaCl.
    mean, std = np.array([0.30, 0.25]), np.array([0.1, 0.08])
    truth = [below_both(i, mean, std, correlation, lever) for i, lever in ((0, 3 / 4), (1, 2 / 3))]
    runs = [
        probability_stable_final(BARE, ["NaCl", "Na2Cl"], mean, std, correlation=correlation, seed=seed)
        for seed in SEEDS
    ]
    assert_unbiased(runs, truth)


@pytest.mark.parametrize("correlation", [0.5, 0.9])
def test_rare_crystals_of_one_composition_agree_with_an_integral(correlation):
    mean = 0.3 + 0.004 * np.arange(12)
    truth = lowest_of_many(mean, 0.1, correlation)
    runs = [
        probability_stable_final(SALT, ["NaCl"] * 12, mean - 2.0, 0.1, correlation=correlation, seed=seed)
        for seed in SEEDS
    ]
    assert_unbiased(runs, truth)
    expected = [run.expected.mean for run in runs]
    assert expected == pytest.approx([truth.sum()] * len(runs), rel=0.2)


def test_rare_crystals_that_share_their_whole_error_count_once():
    # The lowest prediction always wins, so that 200 crystals are as likely to give a stable one as the lowest is.
    mean = 0.3 + 1e-4 * np.arange(200)
    for seed in range(2):
        final = probability_stable_final(SALT, ["NaCl"] * 200, mean - 2.0, 0.1, correlation=1, seed=seed)
        assert final.expected.mean == pytest.approx(norm.cdf(-3), rel=1e-6)
        assert final.probability.argmax() == 0
        assert (final.standard_error > 0).all()


@pytest.mark.parametrize("correlation", [0.6, 1.0])
@pytest.mark.parametrize("apart", [0.0, 0.01])
def test_rare_compositions_within_a_threshold_count_once(correlation, apart):
    # The composition counts where the lowest of its crystals is within the threshold; two that agree are one, too.
    mean, threshold = 0.35 + apart * np.arange(3), 0.05
    own, shared = 0.1 * np.sqrt(1 - correlation), 0.1 * np.sqrt(correlation)

    def some_within(z):
        return norm.pdf(z) * (1 - np.prod(norm.sf((threshold - mean - shared * z) / own)))

    truth = quad(some_within, -9, 9, limit=200)[0] if own else norm.cdf(-3)
    finals = [
        probability_stable_final(
            SALT, ["NaCl"] * 3, mean - 2.0, 0.1, threshold=threshold, correlation=correlation, seed=seed
        )
        for seed in SEEDS
    ]
    found = [final.expected_compositions.mean for final in finals]
    assert found == pytest.approx([truth] * len(found), rel=0.2 if own else 1e-6)
    assert np.mean(found) == pytest.approx(truth, rel=0.03)
    assert finals[0].expected.mean > 1.02 * found[0]


@pytest.mark.parametrize("threshold", [0.0, 0.04])
def test_a_whole_shared_error_is_an_integral_over_hulls(threshold):
    formulas = ["NaCl", "Na2Cl", "Na3Cl", "NaCl2", "Na2Cl"]
    mean = SALT.hull_energy(formulas) + np.array([0.22, 0.2, 0.15, 0.3, 0.21])
    std = np.array([0.08, 0.1, 0.09, 0.12, 0.1])
    truth = with_one_shared_error(SALT, formulas, mean, std, threshold)
    assert 0 < truth.max() < 0.15  # all are rare
    runs = [
        probability_stable_final(SALT, formulas, mean, std, correlation=1, threshold=threshold, seed=seed)
        for seed in SEEDS
    ]
    for run in runs:
        assert (np.abs(run.probability - truth) <= 4 * run.standard_error + 5e-3 * truth.max()).all()
    assert np.mean([run.probability for run in runs], axis=0) == pytest.approx(truth, abs=0.02 * truth.max())


def test_a_rare_ternary_beside_binaries_agrees_with_hulls_of_its_own_tail():
    # Li2O2 and Fe3O4 are in systems of their own, whose errors are not those of the ternary; LiFeO3's are.
    formulas, correlation = ["Li2FeO3", "LiFeO3", "Li2O2", "Fe3O4"], 0.8
    mean = OXIDES.hull_energy(formulas) + np.array([0.25, 0.2, 0.0, 0.02])
    std = np.array([0.1, 0.1, 0.1, 0.05])
    rng = np.random.default_rng(0)
    n, hits = 600, 0
    tail = truncnorm.rvs(-np.inf, -2.5, size=n, random_state=rng)
    shared = np.sqrt(correlation) * tail + np.sqrt(1 - correlation) * rng.normal(size=n)
    for own, offset in zip(tail, shared, strict=True):
        other = np.sqrt(correlation) * offset + np.sqrt(1 - correlation) * rng.normal()
        energies = mean + std * [own, other, *rng.normal(size=2)]
        drawn = Hull([*KNOWN, *formulas], [*KNOWN.values(), *energies], formation_energies=True)
        hits += drawn.own_e_above_hull()[len(KNOWN)] <= 0
    share = hits / n
    assert 0.1 < share < 0.9
    finals = [
        probability_stable_final(OXIDES, formulas, mean, std, correlation=correlation, seed=seed) for seed in SEEDS
    ]
    noise = norm.cdf(-2.5) * np.sqrt(share * (1 - share) / n)
    for final in finals:
        truth = norm.cdf(-2.5) * share
        assert abs(final.probability[0] - truth) < 4 * np.hypot(noise, final.standard_error[0])
    average = np.mean([final.probability[0] for final in finals])
    assert average == pytest.approx(truth, abs=4 * np.hypot(noise, finals[0].standard_error[0] / np.sqrt(len(finals))))


def test_no_error_is_0_where_samples_merely_agree():
    # In 20 samples no other is ever below; that does not prove that none can be.
    final = probability_stable_final(SALT, ["NaCl", "Na2Cl"], [-1.95, -1.03], [0.1, 0.1], n_samples=20)
    assert final.probability[0] == final.now[0]
    assert 0 < final.standard_error[0] < 0.01
    # Where it is certain what the others do, so is the result.
    certain = probability_stable_final(SALT, ["NaCl", "NaCl", "KCl"], [-1.95, -2.05, -2.0], [0.1, 0.0, 0.1])
    assert certain.standard_error[0] == certain.standard_error[2] == 0
    assert certain.probability[0] == pytest.approx(norm.cdf(-1))


@pytest.mark.parametrize(
    "system", [("Fe", "O"), ("Fe", "Li", "O"), ("Fe", "Li", "O", "P"), ("Fe", "Li", "Na", "O", "P")]
)
@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_facets_give_what_programs_give(monkeypatch, system, correlation):
    rng = np.random.default_rng(len(system))
    amounts = rng.integers(0, 4, (60, len(system))).astype(float)
    amounts[:5] = np.eye(len(system))[0]  # candidates of an element, too
    amounts[5:12] = 1.0
    amounts[amounts.sum(axis=1) == 0, 0] = 1.0
    mean = OXIDES.hull_energy((amounts, system)) + rng.normal(0.0, 0.1, 60)
    std = np.where(rng.random(60) < 0.1, 0.0, 0.1)
    options = {"n_samples": 40, "correlation": correlation, "threshold": 0.01}
    finals = []
    for worth in ({}, dict.fromkeys(range(2, 6), 0)):
        monkeypatch.setattr(sampled_hulls, "_WORTH_FACETS", worth)
        finals.append(probability_stable_final(OXIDES, (amounts, system), mean, std, **options))
    by_programs, by_facets = finals
    assert (by_programs.now - by_programs.probability).max() > 0.1
    assert by_facets.probability == pytest.approx(by_programs.probability, abs=1e-9)
    assert by_facets.standard_error == pytest.approx(by_programs.standard_error, abs=1e-9)
    assert by_facets.expected == pytest.approx(by_programs.expected)
    assert by_facets.expected_compositions == pytest.approx(by_programs.expected_compositions)


def test_hulls_made_a_few_at_a_time_are_the_same(monkeypatch):
    rng = np.random.default_rng(2)
    amounts = rng.integers(1, 7, (40, 3)).astype(float)
    mean = OXIDES.hull_energy((amounts, ["Fe", "Li", "O"])) + rng.normal(0.1, 0.1, 40)
    one = probability_stable_final(OXIDES, (amounts, ["Fe", "Li", "O"]), mean, 0.1, n_samples=100, correlation=0.6)
    monkeypatch.setattr(sampled_hulls, "_NUMBERS_AT_ONCE", 300)
    other = probability_stable_final(OXIDES, (amounts, ["Fe", "Li", "O"]), mean, 0.1, n_samples=100, correlation=0.6)
    assert other.probability == pytest.approx(one.probability, abs=1e-12)
    assert other.standard_error == pytest.approx(one.standard_error, abs=1e-12)
    assert other.expected == pytest.approx(one.expected)
