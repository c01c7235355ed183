from __future__ import annotations

import csv
import gzip
import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matminer.featurizers.composition import (
    ElementFraction,
    ElementProperty,
    IonProperty,
    Stoichiometry,
    ValenceOrbital,
)
from pymatgen.core.composition import Composition
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from matscout.db._elements import symbols
from matscout.errors import MatscoutWarning, UserError
from matscout.featurizers import CompositionFeaturizer, composition
from matscout.featurizers.amounts import read_amounts
from matscout.featurizers.errors import FeatureRowsError
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
    "Fe3O4",
    "He",
]

PRESETS = sorted(composition.PRESETS)

compositions = st.dictionaries(
    st.sampled_from(symbols()[1:]), st.one_of(st.integers(1, 20), st.floats(0.01, 20)), min_size=1, max_size=7
).map(Composition)


@pytest.fixture(scope="module")
def theirs():
    """What matminer makes of a composition, by our preset."""
    made = {
        "magpie": ElementProperty.from_preset("magpie"),
        "fractions": ElementFraction(),
        "stoichiometry": Stoichiometry(),
        "valence_orbital": ValenceOrbital(),
        "ionic": IonProperty(fast=True),
    }
    made |= {
        "magpie, missing nan": ElementProperty.from_preset("magpie", impute_nan=False),
        "valence_orbital, missing nan": ValenceOrbital(impute_nan=False),
        "ionic, missing nan": IonProperty(fast=True, impute_nan=False),
    }
    return made


def featurized(matminer, compositions):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pymatgen's, of elements without an electronegativity
        return np.array([matminer.featurize(Composition(one)) for one in compositions], dtype=float)


def preset(name):
    """The preset of a name of `theirs`."""
    name, _, missing = name.partition(", missing ")
    return CompositionFeaturizer(name, missing=missing or None)


LIKE_MATMINER = ["magpie", "fractions", "stoichiometry", "valence_orbital", "ionic"]
WITH_NAN = ["magpie, missing nan", "valence_orbital, missing nan", "ionic, missing nan"]


@pytest.mark.parametrize("name", LIKE_MATMINER)
def test_columns_are_those_of_matminer_in_its_order(theirs, name):
    assert list(CompositionFeaturizer(name).feature_names) == theirs[name].feature_labels()


def test_magpie_has_132_columns():
    assert len(CompositionFeaturizer("magpie")) == 132


@pytest.mark.parametrize("name", [*LIKE_MATMINER, *WITH_NAN])
def test_values_of_chosen_formulas_are_those_of_matminer(theirs, name):
    expected = featurized(theirs[name], FORMULAS)
    np.testing.assert_allclose(preset(name).transform(FORMULAS), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", LIKE_MATMINER)
def test_values_of_real_compounds_are_those_of_matminer(theirs, name, data):
    with gzip.open(data / "critexam" / "Ef_val.csv.gz", "rt", newline="") as file:
        formulas = [row["formula"] for row in csv.DictReader(file)][::64]
    expected = featurized(theirs[name], formulas)
    np.testing.assert_allclose(CompositionFeaturizer(name).transform(formulas), expected, rtol=1e-9)


@pytest.mark.parametrize("name", [*LIKE_MATMINER, *WITH_NAN])
@settings(max_examples=40)
@given(st.lists(compositions, min_size=1, max_size=3))
def test_values_of_any_composition_are_those_of_matminer(theirs, name, compositions):
    expected = featurized(theirs[name], compositions)
    np.testing.assert_allclose(preset(name).transform(compositions), expected, rtol=1e-9, atol=1e-9)


def test_an_element_without_a_value_has_the_mean_of_the_others_or_nan_as_asked_for():
    column = CompositionFeaturizer("magpie").feature_names.index("MagpieData mean Electronegativity")
    helium, *known = CompositionFeaturizer("magpie").transform(["He", "H", "F", "Cs"])[:, column]
    assert min(known) < helium < max(known)
    helium, *as_known = CompositionFeaturizer("magpie", missing="nan").transform(["He", "H", "F", "Cs"])[:, column]
    assert np.isnan(helium)
    assert as_known == known


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


@pytest.mark.parametrize("name", PRESETS)
def test_a_candidate_table_gives_what_its_formulas_give(name):
    elements = {"A": ["Cs", "La"], "B": ["Pb", "Ti"], "B'": ["Ag", "Na"], "X": ["Br", "O", "Cs"]}
    table = enumerate_candidates(["cubic-perovskite", "elpasolite"], elements, repeat_elements=True)
    featurizer = CompositionFeaturizer(name)
    np.testing.assert_allclose(
        featurizer.transform(table), featurizer.transform(table.formulas), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("name", PRESETS)
@given(
    st.dictionaries(st.sampled_from(symbols()[1:]), st.integers(1, 9), min_size=1, max_size=5),
    st.sampled_from([2, 0.5, 7]),
    st.randoms(use_true_random=False),
)
def test_neither_order_nor_size_of_the_formula_counts(name, amounts, factor, random):
    shuffled = random.sample(sorted(amounts), len(amounts))
    other = Composition({symbol: factor * amounts[symbol] for symbol in shuffled})
    first, second = CompositionFeaturizer(name).transform([Composition(amounts), other])
    np.testing.assert_allclose(second, first, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", PRESETS)
def test_two_crystals_of_one_composition_are_not_told_apart(name):
    # The known limit of every feature of a composition: diamond and graphite are both C.
    diamond = Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.567), ["C"], [[0.125, 0.125, 0.125]])
    graphite = Structure.from_spacegroup(
        "P6_3/mmc", Lattice.hexagonal(2.461, 6.708), ["C", "C"], [[0, 0, 0.25], [1 / 3, 2 / 3, 0.25]]
    )
    rows = CompositionFeaturizer(name).transform([diamond.composition, graphite.composition])
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-12)


@pytest.mark.parametrize("name", PRESETS)
def test_rows_do_not_depend_on_the_rows_beside_them(name, monkeypatch):
    random = np.random.default_rng(5)
    alloys = ["".join(f"{symbol}{random.random():.6f}" for symbol in symbols()[20 : 20 + k]) for k in (2, 9, 9, 12, 30)]
    formulas = [*FORMULAS, *alloys, *alloys[1:2] * 3]
    featurizer = CompositionFeaturizer(name)
    whole = featurizer.transform(formulas)
    for size in (1, 4):
        monkeypatch.setattr(composition, "ROWS_AT_ONCE", size)
        np.testing.assert_array_equal(featurizer.transform(formulas), whole)
    monkeypatch.undo()
    np.testing.assert_array_equal(featurizer.transform(formulas * 100)[-len(formulas) :], whole)


@pytest.mark.parametrize("name", PRESETS)
def test_the_array_decides_on_precision_and_order_not_on_the_numbers(name):
    featurizer = CompositionFeaturizer(name)
    whole = featurizer.transform(FORMULAS)
    amounts, _ = read_amounts(FORMULAS)
    out = np.full(whole.shape, np.nan, dtype=np.float32, order="F")
    featurizer.fill(amounts, out)
    np.testing.assert_array_equal(out, whole.astype(np.float32))


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
    for name in PRESETS:
        assert CompositionFeaturizer(name).transform([]).shape == (0, len(CompositionFeaturizer(name)))


def test_a_row_that_is_no_composition_is_nan_alone_and_named_in_a_warning():
    rows = ["Fe", "Xx2O3", "Fe2O3", None, "Fe0"]
    featurizer = CompositionFeaturizer("magpie")
    with pytest.warns(MatscoutWarning, match="3 of 5 rows have no features") as caught:
        values = featurizer.transform(rows)
    text = str(caught[0].message)
    assert all(part in text for part in ("row 1: 'Xx2O3' is no formula", "row 3: None is no", "row 4: 'Fe0' has"))
    assert np.isnan(values).all(axis=1).tolist() == [False, True, False, True, True]
    np.testing.assert_array_equal(values[[0, 2]], featurizer.transform(["Fe", "Fe2O3"]))


def test_strict_raises_once_with_the_first_ten(monkeypatch):
    monkeypatch.setattr(composition, "ROWS_AT_ONCE", 7)
    rows = ["Fe", *["Zz"] * 12, "FeO"]
    with pytest.raises(FeatureRowsError, match="12 of 14 rows") as caught:
        CompositionFeaturizer("magpie").transform(rows, strict=True)
    assert "row 10:" in str(caught.value)
    assert "row 11:" not in str(caught.value)
    assert "and 2 more" in str(caught.value)
    assert sorted(caught.value.errors) == list(range(1, 13))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("CO", "single text 'CO'"),
        (b"CO", "single text b'CO'"),
        (Composition("CO"), "single Composition"),
        ({"C": 1}, "single dict"),
        (None, "single NoneType"),
        (3, "single int"),
    ],
)
def test_what_is_no_list_is_not_taken_for_one(wrong, reason):
    with pytest.raises(UserError, match=reason):
        CompositionFeaturizer("magpie").transform(wrong)


def test_a_frame_is_asked_for_its_column():
    import pandas as pd

    frame = pd.DataFrame({"formula": ["Fe", "FeO"]}, index=[7, 9])
    with pytest.raises(UserError, match=r"frame\['formula'\]"):
        CompositionFeaturizer("stoichiometry").transform(frame)
    assert CompositionFeaturizer("stoichiometry").transform(frame["formula"])[:, 0].tolist() == [1, 2]


def test_one_rich_alloy_among_binaries_changes_none_of_them():
    everything = "".join(symbols())
    featurizer = CompositionFeaturizer(PRESETS)
    values = featurizer.transform(["FeO", everything, "NaCl"])
    np.testing.assert_array_equal(values[[0, 2]], featurizer.transform(["FeO", "NaCl"]))
    assert values[1, featurizer.feature_names.index("0-norm")] == 118


# several presets


def test_presets_stand_beside_each_other_in_the_order_asked_for():
    parts = [CompositionFeaturizer(name) for name in ("stoichiometry", "magpie")]
    for both in (
        CompositionFeaturizer("stoichiometry", "magpie"),
        CompositionFeaturizer(["stoichiometry", "magpie"]),
        CompositionFeaturizer("stoichiometry+magpie"),
    ):
        assert both.name == "stoichiometry+magpie"
        assert both.feature_names == parts[0].feature_names + parts[1].feature_names
        assert both.units == parts[0].units + parts[1].units
        np.testing.assert_array_equal(both.transform(FORMULAS), np.hstack([part.transform(FORMULAS) for part in parts]))
        assert set(both.citations) == {*parts[0].citations, *parts[1].citations}


def test_all_presets_together_name_each_column_once():
    featurizer = CompositionFeaturizer(PRESETS)
    assert len(set(featurizer.feature_names)) == len(featurizer) == len(featurizer.units)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_says_whom_to_cite(name):
    citations = CompositionFeaturizer(name).citations
    assert citations
    assert all("doi:" in citation for citation in citations)


def test_units_of_a_property_are_those_of_its_statistics():
    featurizer = CompositionFeaturizer("magpie")
    units = dict(zip(featurizer.feature_names, featurizer.units, strict=True))
    assert units["MagpieData avg_dev MeltingT"] == "K"
    assert units["MagpieData mode GSvolume_pa"] == "Å^3/atom"
    assert units["MagpieData mode NdValence"] == ""


@pytest.mark.parametrize(
    ("presets", "reason"),
    [
        (["magpy"], r'unknown composition preset "magpy"\. Did you mean magpie?'),
        (["magpie", "magpie"], '"magpie" is named twice'),
        ([[]], "no preset is named"),
        ([3], "expected, got 3"),
        ([None], "expected, got None"),
    ],
)
def test_a_preset_that_is_none_is_refused(presets, reason):
    with pytest.raises(UserError, match=reason):
        CompositionFeaturizer(*presets)


def test_an_unknown_way_with_missing_values_is_refused():
    with pytest.raises(UserError, match="mean or nan is expected, got 'zero'"):
        CompositionFeaturizer("magpie", missing="zero")


# tables of one's own

PRICES = {"Fe": {"price": 0.4, "age": 3000}, "O": {"price": 0.1}, "Au": {"price": 58_000.0, "age": 6000}}


def test_a_table_of_ones_own_has_the_six_statistics_of_its_properties():
    featurizer = CompositionFeaturizer(PRICES)
    assert featurizer.feature_names[:6] == (
        "minimum price",
        "maximum price",
        "range price",
        "mean price",
        "avg_dev price",
        "mode price",
    )
    values = featurizer.transform(["Fe2O3"])[0]
    np.testing.assert_allclose(values[:6], [0.1, 0.4, 0.3, 0.22, 0.144, 0.1])
    assert np.isnan(values[6:]).all()


def test_an_element_that_ones_own_table_lacks_is_nan_or_the_mean_as_asked_for():
    mean_age = CompositionFeaturizer(PRICES).feature_names.index("mean age")
    assert np.isnan(CompositionFeaturizer(PRICES).transform(["O", "Cu"])[:, mean_age]).all()
    filled = CompositionFeaturizer(PRICES, missing="mean").transform(["O", "Cu", "FeO"])
    assert filled[:, mean_age].tolist() == [4500, 4500, 3750]


def test_a_table_stands_beside_presets_and_is_known_by_its_name(tmp_path):
    path = tmp_path / "price+age.csv"
    path.write_text("element,price,age\nFe,0.4,3000\nO,0.1,\nAu,58000,6000\n")
    own = CompositionFeaturizer("stoichiometry", path)
    assert own.name == "stoichiometry+price-age"
    assert repr(own) == "CompositionFeaturizer('stoichiometry+price-age')"
    np.testing.assert_array_equal(own.transform(["FeO"])[:, 6:], CompositionFeaturizer(PRICES).transform(["FeO"]))
    np.testing.assert_array_equal(
        own.transform(["FeO"]), CompositionFeaturizer(["stoichiometry", str(path)]).transform(["FeO"])
    )
    two = CompositionFeaturizer(PRICES, {"Fe": {"mood": 1}})
    assert two.name == "table+table 2"


def test_it_is_made_again_from_what_it_says_of_itself():
    own = CompositionFeaturizer("magpie", PRICES, missing="mean")
    again = CompositionFeaturizer(own.name, **json.loads(json.dumps(own.options, allow_nan=False)))
    assert again.key == own.key
    assert again.feature_names == own.feature_names
    np.testing.assert_array_equal(again.transform(["FeAu"]), own.transform(["FeAu"]))


def test_other_numbers_make_another_key():
    keys = [
        CompositionFeaturizer("magpie").key,
        CompositionFeaturizer("magpie", missing="nan").key,
        CompositionFeaturizer(PRICES).key,
        CompositionFeaturizer({**PRICES, "Cu": {"price": 5}}).key,
    ]
    assert len(set(keys)) == 4


def test_the_same_column_twice_is_refused():
    with pytest.raises(UserError, match='table and table 2 both have a column "minimum price"'):
        CompositionFeaturizer(PRICES, {"Fe": {"price": 1}})
    with pytest.raises(UserError, match='period_group and table both have a column "minimum period"'):
        CompositionFeaturizer("period_group", {"Fe": {"period": 4}})


@pytest.mark.parametrize("name", ["a+b", "magpie"])
def test_a_table_cannot_take_the_name_of_others(name):
    with pytest.raises(UserError, match=f'cannot have the name "{name}"'.replace("+", r"\+")):
        CompositionFeaturizer(tables={name: PRICES})
