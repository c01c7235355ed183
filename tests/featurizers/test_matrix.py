"""The whole way from rows to columns, in this process; on dask it is tested in tests/integration."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pymatgen.core import Composition, Lattice, Species, Structure

from matscout.errors import UserError
from matscout.featurizers import (
    FEATURE_SETS,
    CompositionFeaturizer,
    FeatureCache,
    FeatureRowsError,
    SiteFeaturizer,
    StructureFeaturizer,
    featurize,
    iterate_features,
    make_featurizer,
    read_description,
)
from matscout.featurizers.base import CrystalFeaturizer, TableFeaturizer
from matscout.featurizers.registry import ABOUT
from matscout.workflows.enumeration import enumerate_candidates

HALF = Structure(Lattice.cubic(4), [{"Fe": 0.5, "Ni": 0.5}], [[0, 0, 0]])
ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(scope="module")
def table():
    elements = {"A": ["Cs", "Rb", "K"], "B": ["Pb", "Sn"], "B'": ["Ag"], "X": ["Cl", "Br"]}
    return enumerate_candidates(["cubic-perovskite", "elpasolite"], elements)


class Counting(CrystalFeaturizer):
    """Counts how often it is asked, and refuses crystals of iron."""

    name = "counting"
    feature_names = ("number of sites",)
    units = ("",)
    citations = ()
    version = 1
    software = ()

    def __init__(self):
        self.options = {}
        self.asked = 0

    def featurize(self, row):
        self.asked += 1
        if 26 in row.numbers:
            raise ZeroDivisionError("iron")
        return np.array([len(row)])


# what comes out


def test_sets_stand_beside_each_other_in_the_order_asked_for(table):
    matrix = featurize(table, ["sites", "magpie"])
    sites, magpie = SiteFeaturizer(table.prototypes), CompositionFeaturizer("magpie")
    assert matrix.names == sites.feature_names + magpie.feature_names
    np.testing.assert_array_equal(matrix.values, np.hstack([sites.transform(table), magpie.transform(table)]))
    assert matrix.sets == ("sites",) * len(sites.feature_names) + ("magpie",) * 132
    assert len(matrix.units) == len(matrix.names)
    assert set(matrix.citations) == {*sites.citations, *magpie.citations}
    assert list(matrix.ids) == table.ids
    assert list(matrix.formulas) == table.formulas


def test_parts_are_the_rows_of_the_whole(table):
    whole = featurize(table, ["magpie", "sites"])
    parts = list(iterate_features(table, ["magpie", "sites"], rows_at_once=5))
    assert [len(part) for part in parts] == [5, 5, 5, 5, 4]
    np.testing.assert_array_equal(np.vstack([part.values for part in parts]), whole.values)
    assert sum((part.ids for part in parts), ()) == whole.ids
    np.testing.assert_array_equal(featurize(table, ["magpie", "sites"], rows_at_once=4).values, whole.values)


def test_formulas_compositions_candidates_and_crystals_of_one_composition_have_the_same_row(table):
    formulas = featurize(table.formulas, "magpie").values
    np.testing.assert_allclose(featurize([Composition(f) for f in table.formulas], "magpie").values, formulas)
    np.testing.assert_allclose(featurize(table, "magpie").values, formulas, rtol=1e-12)
    crystals = table.structures(range(len(table)))
    np.testing.assert_allclose(featurize(crystals, "magpie").values, formulas, rtol=1e-12)


def test_candidates_are_featurized_as_the_crystals_they_stand_for(table):
    crystals = table.structures(range(len(table)))
    ours = featurize(table, "geometry", cache=False).values
    np.testing.assert_allclose(ours, StructureFeaturizer("geometry").transform(crystals), rtol=1e-12)


def test_a_generator_is_read_as_it_is_needed():
    read = []

    def formulas():
        for formula in ["NaCl", "MgO", "KBr", "Fe2O3"]:
            read.append(formula)
            yield formula

    parts = iterate_features(formulas(), "stoichiometry", rows_at_once=2)
    assert next(parts).formulas == ("NaCl", "MgO")
    assert "Fe2O3" not in read
    assert len(featurize(formulas(), "stoichiometry")) == 4


def test_a_series_keeps_its_index_as_ids():
    frame = featurize(pd.Series(["NaCl", "MgO"], index=["mp-1", "mp-2"]), "fractions").frame()
    assert frame.index.tolist() == ["mp-1", "mp-2"]
    assert frame.loc["mp-1", "Na"] == 0.5
    assert frame["errors"].tolist() == [None, None]


def test_a_name_that_two_featurizers_have_gets_theirs_in_front():
    matrix = featurize([ROCK_SALT], ["geometry", "matminer:DensityFeatures"], cache=False)
    assert matrix.names[0] == "geometry density"
    assert "matminer:DensityFeatures density" in matrix.names
    assert len(set(matrix.names)) == len(matrix.names)


def test_no_rows_at_all_are_a_matrix_with_columns():
    matrix = featurize([], "magpie")
    assert matrix.values.shape == (0, 132)
    assert featurize(iter([]), "magpie").values.shape == (0, 132)


# rows that fail


def test_a_bad_formula_is_an_error_and_takes_no_neighbour_along():
    matrix = featurize(["NaCl", "salt", "MgO"], ["stoichiometry", "magpie"])
    assert list(matrix.errors) == [1]
    assert "salt" in matrix.errors[1]
    assert np.isnan(matrix.values).all(axis=1).tolist() == [False, True, False]
    np.testing.assert_array_equal(matrix.values[[0, 2]], featurize(["NaCl", "MgO"], ["stoichiometry", "magpie"]).values)


def test_a_bad_crystal_is_an_error_in_what_is_made_of_crystals():
    matrix = featurize([ROCK_SALT, HALF], ["stoichiometry", "geometry"], cache=False)
    assert "occupied only in part" in matrix.errors[1]
    known = ~np.isnan(matrix.values[1])
    assert {matrix.sets[column] for column in np.flatnonzero(known)} == {"stoichiometry"}


def test_any_error_of_a_featurizer_is_the_error_of_its_row():
    iron = Structure(Lattice.cubic(2.8), ["Fe"], [[0, 0, 0]])
    matrix = featurize([ROCK_SALT, iron, ROCK_SALT], Counting(), cache=False)
    assert matrix.values[:, 0].tolist()[::2] == [8, 8]
    assert matrix.errors == {1: "ZeroDivisionError: iron"}


def test_strict_names_the_first_ten():
    with pytest.raises(FeatureRowsError, match="12 of 13 rows have no features") as raised:
        featurize(["NaCl", *[f"bad{i}" for i in range(12)]], "magpie", strict=True)
    assert str(raised.value).count("row ") == 10
    assert "and 2 more" in str(raised.value)
    assert len(raised.value.errors) == 12


def test_what_is_no_list_of_rows_is_refused():
    with pytest.raises(UserError, match="put a single one into a list"):
        featurize("NaCl", "magpie")
    with pytest.raises(UserError, match="put a single one into a list"):
        featurize(3, "magpie")
    for single in (ROCK_SALT, Composition("NaCl"), {"Na": 1, "Cl": 1}):
        with pytest.raises(UserError, match="put a single one into a list"):
            featurize(single, "magpie")
    with pytest.raises(UserError, match="name one"):
        featurize(pd.DataFrame({"formula": ["NaCl"]}), "magpie")


def test_nothing_at_all_has_the_columns_of_every_set_and_a_gap_in_front_is_one_bad_row():
    assert featurize([], ["magpie", "geometry"]).values.shape == (0, 137)
    matrix = featurize([None, ROCK_SALT], "geometry", cache=False)
    assert list(matrix.errors) == [0]
    with pytest.raises(UserError, match="rows of the type dict do not have it"):
        featurize([ROCK_SALT.as_dict()], "geometry")


def test_an_infinite_amount_is_an_error_of_its_row():
    matrix = featurize(["NaCl", Composition({"Fe": float("inf")})], "stoichiometry")
    assert list(matrix.errors) == [1]


def test_an_error_without_words_is_an_error_too():
    class Silent(Counting):
        def featurize(self, row):
            raise UserError("")

    assert featurize([ROCK_SALT], Silent(), cache=False).errors == {0: "UserError"}


def test_a_set_of_compositions_that_raises_is_the_error_of_the_rows_that_it_raises_for():
    class Picky(TableFeaturizer):
        name, feature_names, units, citations, version, software = "picky", ("n",), ("",), (), 1, ()
        options = {}  # noqa: RUF012

        def fill(self, amounts, out):
            if (amounts.elements == 26).any():
                raise ValueError("iron")
            out[:, 0] = len(amounts.elements[0])

    matrix = featurize(["NaCl", "FeO", "KCl"], Picky())
    assert matrix.errors == {1: "ValueError: iron"}
    assert np.isnan(matrix.values[:, 0]).tolist() == [False, True, False]


def test_the_first_row_that_says_of_what_kind_it_is_decides():
    matrix = featurize([float("nan"), "oops", ROCK_SALT], "geometry", cache=False)
    assert list(matrix.errors) == [0, 1]
    assert featurize([None, "NaCl"], "stoichiometry").errors.keys() == {0}


def test_what_a_machine_lacks_is_not_kept_as_the_error_of_a_row(tmp_path):
    class Lacking(Counting):
        def featurize(self, row):
            raise ImportError("no such module \udc80")

    kind = type("Lacking", (Lacking,), {"__qualname__": "Lacking", "__module__": __name__})
    for _ in range(2):
        matrix = featurize([ROCK_SALT], kind(), cache=tmp_path)
        assert matrix.n_cached == 0
        assert matrix.errors == {0: r"ImportError: no such module \udc80"}


def test_arguments_that_make_no_sense_are_named():
    for wrong in ({"rows_at_once": -1}, {"rows_at_once": 1.5}, {"time_limit": -1}, {"cache": 3}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            featurize(["NaCl"], "magpie", **wrong)
    with pytest.raises(UserError, match="the name of a feature set is expected, got None"):
        featurize(["NaCl"], None)


# which featurizers


def test_an_unknown_set_is_answered_with_the_nearest(table):
    with pytest.raises(UserError, match=r'unknown feature set "site"\. Did you mean sites?'):
        featurize(table, ["magpie", "site"])


def test_a_set_named_twice_and_no_set_at_all_are_refused(table):
    with pytest.raises(UserError, match="named twice"):
        featurize(table, ["magpie", "magpie"])
    with pytest.raises(UserError, match="no feature set"):
        featurize(table, [])


def test_crystal_features_of_formulas_are_refused_before_anything_is_read():
    with pytest.raises(UserError, match="geometry is made of crystals"):
        featurize(["NaCl"], ["magpie", "geometry"])


@pytest.mark.parametrize("name", [name for name in FEATURE_SETS if name != "chgnet"])
def test_every_set_has_names_units_and_sources(name):
    featurizer = make_featurizer(name)
    assert len(set(featurizer.feature_names)) == len(featurizer.feature_names) == len(featurizer.units)
    assert featurizer.citations
    assert all("doi" in citation or "(" in citation for citation in featurizer.citations)
    assert featurizer.key == make_featurizer(name).key
    assert ABOUT[name]


def test_options_change_the_key():
    assert make_featurizer("rdf").key != make_featurizer("rdf", r_max=5.0).key


def test_two_featurizers_of_one_name_and_names_of_the_file_are_told_apart():
    both = featurize([ROCK_SALT], [make_featurizer("rdf"), make_featurizer("rdf", smoothness=1)], cache=False)
    assert len(set(both.names)) == len(both.names) == 120

    class Named(Counting):
        feature_names = ("id",)

    assert featurize([ROCK_SALT], Named(), cache=False).names == ("counting id",)


# files


def test_a_file_has_the_same_numbers_as_32_bits(table, tmp_path):
    path = tmp_path / "features.parquet"
    written = featurize(table, ["magpie", "sites"], output=path, rows_at_once=7)
    matrix = featurize(table, ["magpie", "sites"])
    frame = pd.read_parquet(path)
    assert (written.n_rows, written.n_features, written.n_errors) == (len(table), len(matrix.names), 0)
    assert frame["id"].tolist() == table.ids
    assert frame["formula"].tolist() == table.formulas
    assert set(frame["prototype"]) == {"cubic-perovskite", "elpasolite"}
    np.testing.assert_array_equal(frame[list(matrix.names)].to_numpy(), matrix.values.astype(np.float32))
    assert frame["errors"].isna().all()


def test_a_file_says_what_made_it_and_which_rows_failed(tmp_path):
    path = tmp_path / "features.parquet"
    written = featurize(["NaCl", "salt"], ["stoichiometry", "magpie"], output=path)
    described = read_description(path)["featurizers"]
    assert [one["name"] for one in described] == ["stoichiometry", "magpie"]
    assert described[1]["columns"][12] == {"name": "MagpieData minimum AtomicWeight", "unit": "u"}
    assert described[1]["citations"]
    errors = pq.read_table(path)["errors"].to_pylist()
    assert errors[0] is None
    assert "salt" in errors[1]
    assert list(written.errors) == [1]


def test_a_file_of_no_rows_has_the_columns(tmp_path):
    path = tmp_path / "features.parquet"
    featurize([], "stoichiometry", output=path)
    assert pd.read_parquet(path).columns.tolist()[:3] == ["id", "formula", "0-norm"]


def test_a_strict_failure_leaves_no_file(tmp_path):
    with pytest.raises(FeatureRowsError):
        featurize(["NaCl", "salt"], "magpie", output=tmp_path / "features.parquet", strict=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        featurize(["NaCl"], "magpie", output=tmp_path / "no" / "features.parquet")


# the cache


def test_what_was_made_once_is_not_made_again(tmp_path):
    cache, counting = FeatureCache(tmp_path), Counting()
    crystals = [ROCK_SALT * (n, 1, 1) for n in (1, 2, 3)]
    first = featurize(crystals, counting, cache=cache)
    assert (counting.asked, first.n_cached) == (3, 0)
    again = featurize([*crystals, ROCK_SALT * (4, 1, 1)], counting, cache=FeatureCache(tmp_path))
    assert (counting.asked, again.n_cached) == (4, 3)
    np.testing.assert_array_equal(again.values[:3], first.values)
    assert again.seconds_per_row > 0


def test_species_of_states_that_look_alike_are_not_taken_for_each_other(tmp_path):
    almost = [Composition({Species("Fe", state): 3, Species("O", -2): 4}) for state in (2.666, 2.674)]
    ours = featurize(almost, "matminer:OxidationStates", cache=tmp_path)
    again = featurize(almost, "matminer:OxidationStates", cache=tmp_path)
    column = ours.names.index("maximum oxidation state")
    assert ours.values[:, column].tolist() == again.values[:, column].tolist() == [2.666, 2.674]


def test_features_of_a_class_of_a_function_are_not_kept(tmp_path):
    class Local(Counting):
        pass

    for _ in range(2):
        assert featurize([ROCK_SALT], Local(), cache=tmp_path).n_cached == 0


def test_an_array_that_a_featurizer_uses_again_is_copied():
    class Reusing(Counting):
        array = np.zeros(1)

        def featurize(self, row):
            self.array[:] = len(row)
            return self.array

    matrix = featurize([ROCK_SALT, ROCK_SALT * (2, 1, 1)], Reusing(), cache=False)
    assert matrix.values[:, 0].tolist() == [8, 16]


def test_the_cache_is_asked_by_version_and_options(tmp_path):
    cache, counting, newer = FeatureCache(tmp_path), Counting(), Counting()
    newer.version = 2
    featurize([ROCK_SALT], counting, cache=cache)
    featurize([ROCK_SALT], newer, cache=cache)
    assert newer.asked == 1


def test_progress_is_told_after_each_part(table):
    told = []
    featurize(table, "stoichiometry", rows_at_once=10, progress=lambda done, total: told.append((done, total)))
    assert told == [(10, 24), (20, 24), (24, 24)]


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, matscout.featurizers as f; f.FEATURE_SETS; f.featurize; print([m for m in ('matminer', "
        "'pymatgen', 'torch', 'jobflow', 'sklearn', 'pandas', 'dask', 'dscribe', 'pyarrow') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
