from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.core import Composition
from pymatgen.entries.computed_entries import ComputedEntry
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from matscout.errors import UserError
from matscout.workflows.stability import Hull, probability_stable_final, probability_stable_now

SALT = Hull(["NaCl"], [-2.0], formation_energies=True)
KNOWN = {"Li2O": -2.0, "FeO": -1.4, "Fe2O3": -1.7, "LiFeO2": -1.95, "Li5FeO4": -2.0}
OXIDES = Hull(list(KNOWN), list(KNOWN.values()), list(KNOWN), formation_energies=True)
BARE = Hull(["NaCl"], [0.1], formation_energies=True)  # nothing below the elements


def below_both(difference_mean, difference_std, mean, std, covariance):
    """P(first below its hull, first below what the second makes of it) of two normal differences."""
    sigma = [[std**2, covariance], [covariance, difference_std**2]]
    return multivariate_normal([mean, difference_mean], sigma).cdf([0.0, 0.0])


def by_pymatgen(hull_entries, formulas, mean, std, *, threshold, n_samples, seed):
    """Fractions of independent samples in which each candidate is stable, one diagram for each sample."""
    rng = np.random.default_rng(seed)
    sizes = [Composition(formula).num_atoms for formula in formulas]
    count = np.zeros(len(formulas))
    for _ in range(n_samples):
        energies = rng.normal(mean, std)
        drawn = [ComputedEntry(f, e * n) for f, e, n in zip(formulas, energies, sizes, strict=True)]
        diagram = PhaseDiagram([*hull_entries, *drawn])
        count += [diagram.get_e_above_hull(entry, check_stable=False) <= threshold + 1e-9 for entry in drawn]
    return count / n_samples


def elements(*symbols):
    return [ComputedEntry(symbol, 0.0) for symbol in symbols]


@pytest.mark.parametrize("correlation", [0.0, 0.4, 1.0])
def test_alone_it_is_the_probability_now(correlation):
    mean, std = [-2.02, -1.9, -1.4], [0.05, 0.1, 0.3]
    compositions = ["NaCl", "KCl", "LiFeO2"]
    hull = Hull(["NaCl", "KCl", "Li2O"], [-2.0, -1.95, -2.0], formation_energies=True)
    final = probability_stable_final(hull, compositions, mean, std, threshold=0.01, correlation=correlation)
    assert final.probability == pytest.approx(
        probability_stable_now(mean, std, hull.hull_energy(compositions), 0.01), abs=1e-14
    )
    assert final.standard_error == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_two_crystals_of_one_composition_agree_with_the_bivariate_normal(correlation):
    mean, std = np.array([-2.03, -2.0]), np.array([0.05, 0.08])
    final = probability_stable_final(SALT, ["NaCl", "Na2Cl2"], mean, std, n_samples=20_000, correlation=correlation)
    shared = correlation * std.prod()
    spread = np.sqrt((std**2).sum() - 2 * shared)
    expected = [below_both(mean[i] - mean[1 - i], spread, mean[i] + 2.0, std[i], std[i] ** 2 - shared) for i in (0, 1)]
    assert final.probability == pytest.approx(expected, abs=0.005)
    assert (np.abs(final.probability - expected) < 4 * final.standard_error + 1e-4).all()


def test_two_crystals_within_a_threshold_agree_with_numerical_integration():
    threshold, mean, std = 0.03, (-0.01, 0.02), (0.04, 0.06)
    final = probability_stable_final(
        SALT, ["NaCl", "NaCl"], np.array(mean) - 2.0, std, threshold=threshold, n_samples=20_000
    )
    expected = [
        quad(
            lambda other, i=i: (
                norm.pdf(other, mean[1 - i], std[1 - i]) * norm.cdf(min(other, 0) + threshold, mean[i], std[i])
            ),
            -1,
            1,
            points=[0],
        )[0]
        for i in (0, 1)
    ]
    assert final.probability == pytest.approx(expected, abs=0.004)


def test_two_compositions_agree_with_the_bivariate_normal():
    # Without other phases NaCl at energy e puts the hull at 2/3 e for Na2Cl, and Na2Cl puts it at 3/4 e for NaCl.
    mean, std = np.array([-0.30, -0.22]), np.array([0.10, 0.10])
    final = probability_stable_final(BARE, ["NaCl", "Na2Cl"], mean, std, n_samples=20_000)
    expected = []
    for i, lever in ((0, 3 / 4), (1, 2 / 3)):
        other = 1 - i
        spread = np.hypot(std[i], lever * std[other])
        expected.append(below_both(mean[i] - lever * mean[other], spread, mean[i], std[i], std[i] ** 2))
    assert final.probability == pytest.approx(expected, abs=0.005)


def test_many_candidates_agree_with_a_diagram_for_each_sample():
    formulas = ["LiFeO2", "Li3FeO4", "LiFe5O8", "Li2O2", "Fe3O4", "LiFe", "Li2FeO3", "Li2FeO3"]
    hull_energy = OXIDES.hull_energy(formulas)
    mean = hull_energy + np.array([0.02, 0.0, -0.02, 0.01, -0.01, 0.3, 0.0, 0.01])
    std = np.array([0.05, 0.06, 0.05, 0.08, 0.06, 0.2, 0.07, 0.05])
    known = [ComputedEntry(f, e * Composition(f).num_atoms) for f, e in KNOWN.items()] + elements("Li", "Fe", "O")
    n = 600
    naive = by_pymatgen(known, formulas, mean, std, threshold=0.02, n_samples=n, seed=3)
    final = probability_stable_final(OXIDES, formulas, mean, std, threshold=0.02, n_samples=4_000, seed=5)
    noise = np.sqrt(naive * (1 - naive) / n + final.standard_error**2)
    assert (np.abs(final.probability - naive) < 4 * noise + 1e-3).all()
    assert (final.now - naive).max() > 0.1  # so that P(stable, now) would not have passed
    # What is integrated exactly and what is counted are of the same samples.
    assert final.expected.low <= final.expected.mean <= final.expected.high
    assert final.expected.mean == pytest.approx(naive.sum(), abs=0.15)


def test_a_binary_competes_in_the_ternary():
    # A certain Li2O2 takes part wherever Li and O do, and nowhere else.
    alone = probability_stable_final(OXIDES, ["LiFeO3", "Fe3O4"], [-1.7, -1.62], 0.05).probability
    joint = probability_stable_final(OXIDES, ["Li2O2", "LiFeO3", "Fe3O4"], [-2.2, -1.7, -1.62], [0.0, 0.05, 0.05])
    hull = Hull([*KNOWN, "Li2O2"], [*KNOWN.values(), -2.2], formation_energies=True)
    after = probability_stable_now([-1.7], [0.05], hull.hull_energy("LiFeO3"))
    assert joint.probability[1] == pytest.approx(after[0], abs=1e-9)
    assert after[0] < alone[0] - 0.5
    assert joint.probability[2] == alone[1]


def test_a_crystal_of_an_element_is_a_candidate_like_any_other():
    formulas, mean, std = ["Na", "NaCl", "Na2"], [-0.02, -2.0, 0.01], [0.05, 0.05, 0.04]
    naive = by_pymatgen(
        [ComputedEntry("NaCl", -4.0), *elements("Na", "Cl")], formulas, mean, std, threshold=0, n_samples=800, seed=1
    )
    final = probability_stable_final(SALT, formulas, mean, std, n_samples=4_000)
    assert final.probability == pytest.approx(naive, abs=0.07)
    assert final.probability[0] + final.probability[2] < final.now[0] + final.now[2] - 0.1


def test_absolute_energies_give_what_formation_energies_give():
    corners = {"Li": -1.9, "Fe": -8.2, "O": -4.9}
    formulas = ["LiFeO2", "Li2O2", "Li2FeO3"]
    mean, std = OXIDES.hull_energy(formulas) + np.array([0.01, -0.02, 0.0]), [0.05, 0.07, 0.06]

    def absolute(names):
        return np.array(
            [sum(corners[str(e)] * Composition(f).get_atomic_fraction(e) for e in Composition(f)) for f in names]
        )

    compositions = [*KNOWN, *corners]
    hull = Hull(compositions, absolute(compositions) + np.array([*KNOWN.values(), 0, 0, 0]))
    one = probability_stable_final(OXIDES, formulas, mean, std, threshold=0.01)
    other = probability_stable_final(hull, formulas, mean + absolute(formulas), std, threshold=0.01)
    assert other.probability == pytest.approx(one.probability, abs=1e-9)
    assert other.expected.low == one.expected.low


def test_six_elements_go_the_same_way():
    # Facets end at five elements; two candidates of one composition keep their closed form.
    elements_ = ["Li", "Na", "K", "Rb", "Cs", "F"]
    hull = Hull([f"{e}F" for e in elements_[:-1]], np.full(5, -2.5), formation_energies=True)
    formulas = ["LiNaKRbCsF5", "LiNaKRbCsF5"]
    final = probability_stable_final(hull, formulas, [-2.5, -2.5], 0.1, n_samples=4_000)
    assert final.probability == pytest.approx([3 / 8, 3 / 8], abs=0.01)


def test_crystals_of_one_composition_do_not_count_twice():
    # Ten crystals as likely as not to be stable: P(now) promises five, but only one of them can be the lowest.
    final = probability_stable_final(SALT, ["NaCl"] * 10, np.full(10, -2.0), 0.05, n_samples=4_000)
    assert final.now.sum() == pytest.approx(5.0)
    assert final.probability.sum() == pytest.approx(1 - 0.5**10, abs=0.01)
    assert final.expected_compositions.mean == pytest.approx(final.expected.mean, abs=1e-9)
    assert (final.expected.low, final.expected.high) == (1, 1)
    # Within a threshold several crystals of a composition are labelled stable; it is still one composition.
    wide = probability_stable_final(SALT, ["NaCl"] * 10, np.full(10, -2.0), 0.05, threshold=0.1)
    assert wide.expected.mean > 3
    assert wide.expected_compositions.mean == pytest.approx(1, abs=0.04)
    assert (wide.expected_compositions.low, wide.expected_compositions.high) == (1, 1)


def test_an_optimistic_candidate_does_not_push_the_others_off():
    # On the hull of the means Na2Cl pushes the sure NaCl off by 0.04 eV/atom. But Na2Cl is as uncertain as it is low.
    formulas, mean, std = ["Na2Cl", "NaCl"], [-0.45, -0.30], [0.20, 0.02]
    of_means = Hull(formulas, mean, formation_energies=True)
    assert probability_stable_now(mean[1], std[1], of_means.hull_energy("NaCl"))[0] < 0.05
    final = probability_stable_final(BARE, formulas, mean, std, n_samples=4_000)
    assert final.probability[1] == pytest.approx(norm.sf(-0.40, -0.45, np.hypot(0.20, 0.02 * 4 / 3)), abs=0.01)
    assert final.now[1] > 0.99  # nor is it as sure as P(stable, now) says


def test_expected_numbers_are_those_of_a_truth_drawn_from_the_predictions():
    rng = np.random.default_rng(0)
    formulas = ["Na3Cl", "Na2Cl", "Na3Cl2", "Na2Cl3", "NaCl2", "NaCl3", "NaCl", "NaCl"]
    mean, std = SALT.hull_energy(formulas) + rng.normal(0, 0.05, 8), np.full(8, 0.1)
    truths = 400
    stable = 0
    for energies in rng.normal(mean, std, (truths, 8)):
        hull = Hull(["NaCl", *formulas], [-2.0, *energies], formation_energies=True)
        stable += (hull.own_e_above_hull()[1:] == 0).sum()
    final = probability_stable_final(SALT, formulas, mean, std, n_samples=4_000)
    assert final.expected.mean == pytest.approx(stable / truths, abs=0.15)
    assert final.now.sum() > stable / truths + 1


predictions = st.lists(
    st.tuples(
        st.sampled_from(["LiFeO2", "Li2O2", "Fe3O4", "LiFe", "Li2Fe2O4", "Li3FeO4", "Li"]),
        st.sampled_from([-0.1, -0.02, 0.0, 0.03, 0.2]),
        st.sampled_from([0.0, 0.02, 0.1]),
    ),
    min_size=1,
    max_size=8,
)


def judged(rows, **options):
    formulas = [row[0] for row in rows]
    mean = OXIDES.hull_energy(formulas) + np.array([row[1] for row in rows])
    return probability_stable_final(OXIDES, formulas, mean, [row[2] for row in rows], n_samples=60, **options)


@settings(max_examples=40, deadline=None)
@given(predictions, st.sampled_from([0.0, 0.03, -0.02]), st.sampled_from([0.0, 0.5, 1.0]), st.randoms())
def test_the_order_of_candidates_does_not_matter(rows, threshold, correlation, random):
    order = list(range(len(rows)))
    random.shuffle(order)
    one = judged(rows, threshold=threshold, correlation=correlation)
    other = judged([rows[i] for i in order], threshold=threshold, correlation=correlation)
    assert other.probability == pytest.approx(one.probability[order], abs=1e-12)
    assert other.standard_error == pytest.approx(one.standard_error[order], abs=1e-12)
    assert other.expected[1:] == one.expected[1:]


@settings(max_examples=40, deadline=None)
@given(predictions, st.sampled_from([0.0, 0.03]), st.sampled_from([0.0, 0.5, 1.0]))
def test_it_never_exceeds_the_probability_now(rows, threshold, correlation):
    final = judged(rows, threshold=threshold, correlation=correlation)
    assert (final.probability <= final.now + 1e-12).all()
    assert (final.probability >= 0).all()
    assert final.expected_compositions.mean <= final.expected.mean + 1e-9
    assert final.expected.mean == pytest.approx(final.probability.sum())


@settings(max_examples=20, deadline=None)
@given(predictions)
def test_candidates_far_above_the_hull_change_nothing(rows):
    far = [("Li5FeO4", 3.0, 0.1), ("LiFeO2", 2.0, 0.2), ("Fe2O", 1.5, 0.1)]
    final = judged([*far, *rows])
    assert final.probability[3:].tolist() == judged(rows).probability.tolist()
    assert final.probability[:3].tolist() == final.now[:3].tolist()
    assert final.probability[:3].max() < 1e-6


def test_the_seed_decides():
    rows = [("LiFeO2", 0.0, 0.1), ("LiFeO2", 0.02, 0.1), ("Li2O2", -0.02, 0.1)]
    assert judged(rows).probability.tolist() == judged(rows).probability.tolist()
    assert judged(rows).probability.tolist() != judged(rows, seed=1).probability.tolist()
    assert judged(rows, seed=7).seed == 7


def test_tables_in_parts_give_what_one_table_gives(monkeypatch):
    from matscout.workflows.stability import joint, probability_final

    rng = np.random.default_rng(4)
    amounts = rng.integers(1, 5, (60, 3)).astype(float)
    amounts[:20, 2] = 0
    mean = OXIDES.hull_energy((amounts, ["Fe", "O", "Li"])) + rng.normal(0, 0.05, 60)
    options = {"n_samples": 50, "threshold": 0.01}
    one = probability_stable_final(OXIDES, (amounts, ["Fe", "O", "Li"]), mean, 0.05, **options)
    monkeypatch.setattr(probability_final, "_ROWS_AT_ONCE", 7)
    monkeypatch.setattr(joint, "_ROWS_AT_ONCE", 5)
    monkeypatch.setattr(joint, "_PROGRAMS_AT_ONCE", 100)
    other = probability_stable_final(OXIDES, (amounts, ["Fe", "O", "Li"]), mean, 0.05, **options)
    assert other.probability == pytest.approx(one.probability, abs=1e-12)
    assert other.expected == pytest.approx(one.expected)
    assert other.expected_compositions == pytest.approx(one.expected_compositions)


def test_the_standard_error_is_that_of_repeated_runs():
    rows = [("LiFeO2", 0.0, 0.1), ("LiFeO2", 0.02, 0.1), ("Li2O2", -0.02, 0.1), ("LiFe", 0.02, 0.05)]
    for correlation in (0.0, 0.5):
        runs = [judged(rows, seed=seed, correlation=correlation) for seed in range(150)]
        spread = np.std([run.probability for run in runs], axis=0)
        said = np.mean([run.standard_error for run in runs], axis=0)
        assert spread[:3] == pytest.approx(said[:3], rel=0.3)


def test_certain_predictions_are_stable_or_not():
    # The better of two certain crystals wins; Na3Cl lies on the line between NaCl and Na.
    final = probability_stable_final(SALT, ["NaCl", "NaCl", "Na3Cl"], [-2.1, -2.2, -1.1], 0.0)
    assert final.probability.tolist() == [0, 1, 1]
    assert final.now.tolist() == [1, 1, 1]
    # Two that agree both lie on the hull; as compositions they are one.
    twins = probability_stable_final(SALT, ["NaCl", "NaCl"], [-2.2, -2.2], 0.0)
    assert twins.probability.tolist() == [1, 1]
    assert twins.expected_compositions == (1.0, 1, 1)


def test_below_a_negative_threshold_it_must_undercut_all_others():
    final = probability_stable_final(SALT, ["NaCl", "NaCl"], [-2.1, -2.15], 0.0, threshold=-0.04)
    assert final.probability.tolist() == [0, 1]
    assert probability_stable_final(SALT, ["NaCl", "NaCl"], [-2.1, -2.15], 0.0, threshold=-0.06).expected.mean == 0


def test_without_candidates_there_is_nothing_to_expect():
    final = probability_stable_final(SALT, [], [], [])
    assert final.probability.shape == (0,)
    assert final.expected == final.expected_compositions == (0.0, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["NaCl", "Na3Cl"], [-2, np.nan], 0.1), r"mean is not finite: Na3Cl \(nan\); leave out"),
        ((["NaCl", "Na3Cl"], [-2, -1], [np.inf, 0.1]), r"std is not finite: NaCl \(inf\)"),
        ((["NaCl", "Na3Cl"], [-2, -1], [0.1, -0.1]), r"must not be negative: Na3Cl \(-0\.1 eV/atom\)"),
        ((["NaCl", "Na3Cl"], [-2, -1, 0], 0.1), r"2 compositions but mean of shape \(3,\)"),
        ((["NaCl", "Na3Cl"], [-2, -1], [[0.1, 0.1]]), r"2 compositions but std of shape \(1, 2\)"),
    ],
)
def test_wrong_predictions_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        probability_stable_final(SALT, *arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_samples": 1}, "needs 2 samples at least, got 1"),
        ({"correlation": 1.5}, r"between 0 and 1, got 1\.5"),
        ({"correlation": np.nan}, "between 0 and 1, got nan"),
        ({"threshold": np.nan}, "threshold must be finite, got nan"),
    ],
)
def test_settings_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=message):
        probability_stable_final(SALT, ["NaCl"], -2, 0.1, **options)


def test_an_element_without_an_energy_is_named():
    hull = Hull(["Na", "Cl2", "NaCl"], [-1.3, -1.8, -3.6])
    with pytest.raises(UserError, match="no entry of the element K, which KCl need"):
        probability_stable_final(hull, ["NaCl", "KCl"], -3.6, 0.1)
    # A column of zeros asks for no energy.
    amounts = (np.array([[1.0, 1.0, 0.0]]), ["Na", "Cl", "K"])
    assert probability_stable_final(hull, amounts, -3.6, 0.1).probability == pytest.approx([0.5])


def test_on_real_entries_it_agrees_with_a_diagram_for_each_sample(iron_phosphates):
    hull = Hull.from_entries(iron_phosphates)
    formulas = ["LiFePO4", "Li3Fe2P3O12", "Fe2P2O7", "LiFeO2", "LiFePO4"]
    mean = hull.hull_energy(formulas) + np.array([-0.005, 0.0, -0.01, 0.0, 0.005])
    stable = [entry for entry in iron_phosphates if entry.entry_id in set(hull.stable_ids)]
    naive = by_pymatgen(stable, formulas, mean, np.full(5, 0.02), threshold=0.0, n_samples=150, seed=2)
    final = probability_stable_final(hull, formulas, mean, 0.02, n_samples=2_000)
    noise = np.sqrt(naive * (1 - naive) / 150 + final.standard_error**2)
    assert (np.abs(final.probability - naive) < 4 * noise + 1e-3).all()
    assert (final.now - final.probability).max() > 0.1
