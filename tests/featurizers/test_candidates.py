from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from matscout.errors import UserError
from matscout.featurizers import FEATURE_SETS, CompositionFeaturizer, SiteFeaturizer, candidates, featurize_candidates
from matscout.featurizers.candidates import iterate_features
from matscout.workflows.enumeration import enumerate_candidates


@pytest.fixture(scope="module")
def table():
    elements = {"A": ["Cs", "Rb", "K"], "B": ["Pb", "Sn"], "B'": ["Ag"], "X": ["Cl", "Br"]}
    return enumerate_candidates(["cubic-perovskite", "elpasolite"], elements)


def test_sets_stand_beside_each_other_in_the_order_asked_for(table):
    matrix = featurize_candidates(table, ["sites", "magpie"])
    sites, magpie = SiteFeaturizer(table.prototypes), CompositionFeaturizer("magpie")
    assert matrix.names == sites.feature_names + magpie.feature_names
    np.testing.assert_array_equal(matrix.values, np.hstack([sites.transform(table), magpie.transform(table)]))
    assert matrix.sets == ("sites",) * len(sites.feature_names) + ("magpie",) * 132
    assert set(matrix.citations) == {*sites.citations, *magpie.citations}


def test_all_sets_together_name_each_column_once_and_drop_none(table):
    matrix = featurize_candidates(table, FEATURE_SETS)
    assert len(set(matrix.names)) == len(matrix.names) == matrix.values.shape[1]
    assert len(matrix) == len(table)
    assert matrix.values.dtype == np.float64


def test_parts_are_the_rows_of_the_whole(table, monkeypatch):
    whole = featurize_candidates(table, ["magpie", "sites"]).values
    parts = [part.values for part in iterate_features(table, ["magpie", "sites"], size=5)]
    assert [len(part) for part in parts] == [5, 5, 5, 5, 4]
    np.testing.assert_array_equal(np.vstack(parts), whole)
    monkeypatch.setattr(candidates, "CHUNK_ROWS", 4)
    np.testing.assert_array_equal(featurize_candidates(table, ["magpie", "sites"]).values, whole)


def test_an_unknown_set_is_answered_with_the_nearest(table):
    with pytest.raises(UserError, match=r'unknown feature set "site"\. Did you mean sites?'):
        featurize_candidates(table, ["magpie", "site"])


def test_a_set_named_twice_and_no_set_at_all_are_refused(table):
    with pytest.raises(UserError, match="named twice"):
        featurize_candidates(table, ["magpie", "magpie"])
    with pytest.raises(UserError, match="no feature set"):
        featurize_candidates(table, [])


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, matscout.featurizers as f; f.FEATURE_SETS; "
        "print([m for m in ('matminer', 'pymatgen', 'torch', 'jobflow', 'sklearn', 'pandas') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
