from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matminer.featurizers.composition import ElementFraction, ElementProperty, Stoichiometry
from pymatgen.core.composition import Composition

from matscout.errors import UserError
from matscout.featurizers import CompositionFeaturizer, composition
from matscout.featurizers.elements import symbols
from matscout.workflows.enumeration import enumerate_candidates

FORMULAS = [
    "Fe",
    "CO",
    "Co",
    "SrTiO3",
    "Ca3(PO4)2",
    "Fe0.875Ni.125",
    "NH4NO3",
    "K0.01Na0.99Cl",
    "XeF2",
    "UO2",
    "Og2He",
    "Cs2AgBiBr6",
    "HfTaZrNbTi",
    "[Co(NH3)6]Cl3",
    "LiNaKRbCsFrBeMgCaSrBaRa",
]

compositions = st.dictionaries(
    st.sampled_from(symbols()[1:]), st.one_of(st.integers(1, 20), st.floats(0.01, 20)), min_size=1, max_size=9
).map(Composition)


@pytest.fixture(scope="module")
def matminer_magpie():
    return ElementProperty.from_preset("magpie")


def test_magpie_has_the_columns_of_matminer_in_its_order(matminer_magpie):
    names = CompositionFeaturizer("magpie").feature_names
    assert list(names) == matminer_magpie.feature_labels()
    assert len(names) == 132


def test_magpie_of_real_formulas_is_that_of_matminer(matminer_magpie):
    expected = [matminer_magpie.featurize(Composition(formula)) for formula in FORMULAS]
    ours = CompositionFeaturizer("magpie").transform(FORMULAS)
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(compositions)
def test_magpie_of_any_composition_is_that_of_matminer(matminer_magpie, composition):
    expected = matminer_magpie.featurize(composition)
    ours = CompositionFeaturizer("magpie").transform([composition])[0]
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-9)


def test_an_element_without_a_value_has_the_mean_of_the_others_as_in_matminer(matminer_magpie):
    featurizer = CompositionFeaturizer("magpie")
    column = featurizer.feature_names.index("MagpieData mean Electronegativity")
    helium = featurizer.transform(["He"])[0, column]
    known = [featurizer.transform([symbol])[0, column] for symbol in ("H", "F", "Cs")]
    assert min(known) < helium < max(known)
    assert helium == matminer_magpie.featurize(Composition("He"))[column]


def test_fractions_are_those_of_matminer():
    featurizer = CompositionFeaturizer("fractions")
    expected = [ElementFraction().featurize(Composition(formula)) for formula in FORMULAS]
    np.testing.assert_allclose(featurizer.transform(FORMULAS), expected, rtol=1e-12)
    assert list(featurizer.feature_names) == ElementFraction().feature_labels()


def test_stoichiometry_is_that_of_matminer():
    featurizer = CompositionFeaturizer("stoichiometry")
    formulas = [formula for formula in FORMULAS if "Og" not in formula]  # whose electronegativity pymatgen warns about
    expected = [Stoichiometry().featurize(Composition(formula)) for formula in formulas]
    np.testing.assert_allclose(featurizer.transform(formulas), expected, rtol=1e-12)
    assert list(featurizer.feature_names) == Stoichiometry().feature_labels()


def test_period_and_group_of_lanthanum_nickelate_are_those_of_the_periodic_table():
    featurizer = CompositionFeaturizer("period_group")
    row = dict(zip(featurizer.feature_names, featurizer.transform(["LaNiO3"])[0], strict=True))
    assert (row["minimum period"], row["maximum period"]) == (2, 6)
    assert row["mean group"] == pytest.approx((3 + 10 + 3 * 16) / 5)
    shares = {name: share for name, share in row.items() if name.startswith("fraction") and share}
    assert shares == pytest.approx(
        {
            "fraction period 2": 0.6,
            "fraction period 4": 0.2,
            "fraction period 6": 0.2,
            "fraction group 10": 0.2,
            "fraction group 16": 0.6,
            "fraction f block": 0.2,
        }
    )


@pytest.mark.parametrize("preset", ["magpie", "period_group", "fractions", "stoichiometry"])
def test_a_candidate_table_gives_what_its_formulas_give(preset):
    elements = {"A": ["Cs", "La"], "B": ["Pb", "Ti"], "B'": ["Ag", "Na"], "X": ["Br", "O"]}
    table = enumerate_candidates(["cubic-perovskite", "elpasolite"], elements)
    featurizer = CompositionFeaturizer(preset)
    np.testing.assert_allclose(
        featurizer.transform(table), featurizer.transform(table.formulas), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("preset", ["magpie", "period_group", "fractions"])
@settings(deadline=None)
@given(st.permutations(["Sr1", "Ti1", "O3"]), st.sampled_from([2, 0.5, 7]))
def test_neither_order_nor_size_of_the_formula_counts(preset, terms, factor):
    featurizer = CompositionFeaturizer(preset)
    scaled = [Composition("".join(terms)) * factor, "SrTiO3"]
    first, second = featurizer.transform(scaled)
    np.testing.assert_allclose(first, second, rtol=1e-12, atol=1e-12)


def test_rows_do_not_depend_on_the_chunk_they_fall_into(monkeypatch):
    featurizer = CompositionFeaturizer("magpie")
    whole = featurizer.transform(FORMULAS)
    monkeypatch.setattr(composition, "CHUNK_ROWS", 4)
    assert (featurizer.transform(FORMULAS) == whole).all()


def test_isotopes_count_as_hydrogen_and_species_as_their_element():
    given_, plain = CompositionFeaturizer("magpie").transform([Composition("D2O"), Composition("H2O")])
    assert (given_ == plain).all()
    species = Composition({"Fe2+": 1, "Fe3+": 2, "O2-": 4})
    assert (
        CompositionFeaturizer("fractions").transform([species])
        == CompositionFeaturizer("fractions").transform(["Fe3O4"])
    ).all()


def test_any_iterable_will_do_and_no_formula_gives_no_row():
    featurizer = CompositionFeaturizer("stoichiometry")
    assert featurizer.transform(f for f in ("Fe", "FeO")).shape == (2, 6)
    assert featurizer.transform(np.array(["Fe", "FeO"])).shape == (2, 6)
    assert featurizer.transform([]).shape == (0, 6)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("Xx2O3", "no formula"),
        ("fe2o3", "no formula"),
        ("", "no formula"),
        ("Fe2O3)", "no formula"),
        ("Fe0", "holds no element"),
        ("Fe1e400", "not positive and finite"),
        (float("nan"), "a float"),
        (None, "a NoneType"),
        (Composition({"Fe": -1, "O": 2}, allow_negative=True), "cannot be negative"),
    ],
)
def test_a_row_that_is_no_composition_is_named_with_its_text(wrong, reason):
    with pytest.raises(UserError, match=rf"row 2: '.*{reason}"):
        CompositionFeaturizer("magpie").transform(["Fe", "FeO", wrong, "Fe2O3"])


def test_a_formula_of_a_million_characters_is_quoted_in_short():
    with pytest.raises(UserError, match="row 0") as caught:
        CompositionFeaturizer("magpie").transform(["(Zz)" * 250_000])
    assert len(str(caught.value)) < 400


def test_a_lone_formula_is_not_taken_for_a_list_of_letters():
    with pytest.raises(UserError, match="single text 'CO'"):
        CompositionFeaturizer("magpie").transform("CO")


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r'unknown composition preset "magpy"\. Did you mean magpie?'):
        CompositionFeaturizer("magpy")


@pytest.mark.parametrize("preset", sorted(composition.PRESETS))
def test_every_preset_says_whom_to_cite_and_names_each_column_once(preset):
    featurizer = CompositionFeaturizer(preset)
    assert all("doi:" in citation or "(20" in citation for citation in featurizer.citations)
    assert featurizer.citations
    assert len(set(featurizer.feature_names)) == len(featurizer.feature_names)
