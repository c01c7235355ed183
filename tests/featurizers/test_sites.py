from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core.periodic_table import Element

from matscout.db.candidates import CandidateTable
from matscout.featurizers import CompositionFeaturizer, SiteFeaturizer, sites
from matscout.workflows.enumeration import enumerate_candidates, get_prototype

ELEMENTS = {"A": ["Cs", "K"], "B": ["Pb", "Sn"], "B'": ["Ag", "Na"], "X": ["Cl", "O"]}


@pytest.fixture(scope="module")
def perovskites():
    return enumerate_candidates("cubic-perovskite", {role: ELEMENTS[role] for role in "ABX"})


@pytest.fixture(scope="module")
def mixed():
    return enumerate_candidates(["cubic-perovskite", "elpasolite"], ELEMENTS)


def columns(table):
    names = SiteFeaturizer(table.prototypes).feature_names
    values = SiteFeaturizer().transform(table)
    assert values.shape == (len(table), len(names))
    return dict(zip(names, values.T, strict=True))


def perovskites_of(*decorations):
    """Cubic perovskites of given elements on A, B and X, sensible or not."""
    numbers = [[Element(symbol).Z for symbol in decoration] for decoration in decorations]
    return CandidateTable([get_prototype("cubic-perovskite")], [0] * len(numbers), numbers, [12.0] * len(numbers))


def test_a_perovskite_and_its_antiperovskite_swap_are_told_apart_where_compositions_are_not():
    table = perovskites_of(("Sr", "Ti", "O"), ("Ti", "Sr", "O"))
    as_compositions = CompositionFeaturizer("magpie").transform(table)
    assert (as_compositions[0] == as_compositions[1]).all()
    column = columns(table)
    assert column["A.atomic_number"].tolist() == [38, 22]
    assert column["B.atomic_number"].tolist() == [22, 38]
    assert column["A/B.ionic_radius"][0] == pytest.approx(1 / column["A/B.ionic_radius"][1])


def test_values_are_those_of_the_element_on_the_role():
    table = enumerate_candidates("cubic-perovskite", {"A": ["Sr"], "B": ["Ti"], "X": ["O"]})
    column = {name: values[0] for name, values in columns(table).items()}
    assert column["A.electronegativity"] == 0.95  # Pauling
    assert (column["B.period"], column["B.group"]) == (4, 4)
    assert (column["X.s_electrons"], column["X.p_electrons"]) == (2, 4)
    assert column["B.max_oxidation_state"] == 4
    assert column["A.ionization_energy"] == pytest.approx(5.695, abs=0.001)  # NIST, eV
    assert column["X.ionic_radius"] == 1.26  # Shannon, crystal radius of O2- in sixfold coordination, Å
    assert column["A-X.electronegativity"] == pytest.approx(0.95 - 3.44)
    assert [column[f"{role}.multiplicity"] for role in "ABX"] == [1, 1, 3]
    assert column["volume"] == table.volume[0]


def test_the_radius_of_nitrogen_is_that_of_its_anion():
    assert columns(perovskites_of(("La", "W", "N")))["X.ionic_radius"][0] == Element("N").ionic_radii[-3]


def test_one_prototype_has_no_prototype_columns_but_several_do(perovskites, mixed):
    assert not [name for name in columns(perovskites) if name.startswith("prototype")]
    column = columns(mixed)
    one_hot = np.array([column["prototype.cubic-perovskite"], column["prototype.elpasolite"]])
    assert (one_hot.argmax(axis=0) == mixed.prototype_index).all()
    assert (one_hot.sum(axis=0) == 1).all()
    assert sorted(set(column["prototype.space_group"])) == [221, 225]
    assert sorted(set(column["prototype.n_sites"])) == [5, 10]


def test_roles_of_one_name_share_columns_and_a_missing_role_is_nan_alone(mixed):
    column = columns(mixed)
    elpasolites = mixed.prototype_index == 1
    assert set(column["X.atomic_number"]) == {8, 17}
    assert (np.isnan(column["B'.atomic_number"]) == ~elpasolites).all()
    assert (np.isnan(column["A/B'.ionic_radius"]) == ~elpasolites).all()
    assert not np.isnan(column["packing_fraction"]).any()


def test_an_unknown_property_is_nan_and_not_a_guess():
    column = columns(perovskites_of(("Na", "Mg", "He"), ("Na", "Mg", "F")))
    assert np.isnan(column["X.electronegativity"]).tolist() == [True, False]
    assert np.isnan(column["A-X.electronegativity"]).tolist() == [True, False]
    assert not np.isnan(column["X.atomic_number"]).any()


def test_packing_fraction_falls_with_the_volume(perovskites):
    larger = CandidateTable(
        perovskites.prototypes, perovskites.prototype_index, perovskites.decoration, 2 * perovskites.volume
    )
    np.testing.assert_allclose(columns(larger)["packing_fraction"], columns(perovskites)["packing_fraction"] / 2)


def test_rows_do_not_depend_on_the_chunk_they_fall_into(mixed, monkeypatch):
    whole = SiteFeaturizer().transform(mixed)
    monkeypatch.setattr(sites, "CHUNK_ROWS", 3)
    np.testing.assert_array_equal(SiteFeaturizer().transform(mixed), whole)


def test_a_part_of_a_table_has_the_rows_of_the_whole(mixed):
    bound = SiteFeaturizer(mixed.prototypes)
    rows = [5, 0, len(mixed) - 1]
    np.testing.assert_array_equal(bound.transform(mixed.take(rows)), bound.transform(mixed)[rows])


def test_a_table_of_other_prototypes_is_refused(perovskites, mixed):
    with pytest.raises(ValueError, match="made without the prototype elpasolite"):
        SiteFeaturizer(perovskites.prototypes).transform(mixed)


def test_names_wait_for_the_prototypes():
    with pytest.raises(ValueError, match=r"SiteFeaturizer\(table.prototypes\)"):
        _ = SiteFeaturizer().feature_names


def test_it_says_whom_to_cite():
    assert any("Shannon" in citation for citation in SiteFeaturizer().citations)
