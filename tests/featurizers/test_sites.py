from __future__ import annotations

import pickle

import numpy as np
import pytest
from pymatgen.core.periodic_table import Element

from matscout.db.candidates import CandidateTable
from matscout.db.prototypes import Prototype
from matscout.errors import UserError
from matscout.featurizers import CompositionFeaturizer, SiteFeaturizer, sites
from matscout.workflows.enumeration import enumerate_candidates, get_prototype, prototype_library

ELEMENTS = {"A": ["Cs", "K"], "B": ["Pb", "Sn"], "B'": ["Ag", "Na"], "X": ["Cl", "O"]}


@pytest.fixture(scope="module")
def perovskites():
    return enumerate_candidates("cubic-perovskite", {role: ELEMENTS[role] for role in "ABX"})


@pytest.fixture(scope="module")
def mixed():
    return enumerate_candidates(["cubic-perovskite", "elpasolite"], ELEMENTS)


def columns(table):
    featurizer = SiteFeaturizer(table.prototypes)
    values = featurizer.transform(table)
    assert values.shape == (len(table), len(featurizer))
    return dict(zip(featurizer.feature_names, values.T, strict=True))


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
    bound = SiteFeaturizer(mixed.prototypes)
    whole = bound.transform(mixed)
    monkeypatch.setattr(sites, "CHUNK_ROWS", 3)
    np.testing.assert_array_equal(bound.transform(mixed), whole)


def test_a_part_of_a_table_has_the_rows_of_the_whole(mixed):
    bound = SiteFeaturizer(mixed.prototypes)
    rows = [5, 0, len(mixed) - 1]
    np.testing.assert_array_equal(bound.transform(mixed.take(rows)), bound.transform(mixed)[rows])


def test_a_table_of_other_prototypes_is_refused(perovskites, mixed):
    with pytest.raises(ValueError, match="without this prototype elpasolite"):
        SiteFeaturizer(perovskites.prototypes).transform(mixed)


def test_site_symmetries_are_there_where_they_differ():
    table = enumerate_candidates(["cubic-perovskite", "elpasolite", "spinel"], ELEMENTS)
    column = columns(table)
    of = {prototype.name: table.prototype_index == i for i, prototype in enumerate(table.prototypes)}
    # International Tables A: Pm-3m a, b, c; Fm-3m c, a, b, e; Fd-3m a, d, e
    for name, orders in (
        ("cubic-perovskite", {"A": 48, "B": 48, "X": 16}),
        ("elpasolite", {"A": 24, "B": 48, "B'": 48, "X": 8}),
        ("spinel", {"A": 24, "B": 12, "X": 6}),
    ):
        for role, order in orders.items():
            assert (column[f"{role}.site_symmetry_order"][of[name]] == order).all()
    assert np.isnan(column["B'.site_symmetry_order"][~of["elpasolite"]]).all()


def test_a_role_of_unlike_sites_has_the_mean_of_their_symmetries():
    # A15: silicon on 2a (m-3), chromium on 6c (-4m.2); as one role, 2 sites of order 24 and 6 of order 8
    silicide = prototype_library()["A3B_cP8_223_c_a"]
    apart = Prototype("apart", "", ("A", "B"), silicide.lattice, silicide.frac_coords, silicide.role_of_site)
    one = Prototype("one", "", ("A",), silicide.lattice, silicide.frac_coords, np.zeros(8, dtype=int))
    table = CandidateTable([apart, one], [0, 1], [[24, 14], [24, 0]], [12.0, 12.0])
    column = columns(table)
    assert column["B.site_symmetry_order"][0] == 24
    assert column["A.site_symmetry_order"].tolist() == [8, (2 * 24 + 6 * 8) / 8]


def test_numbers_written_in_single_precision_are_the_rounded_ones(mixed):
    bound = SiteFeaturizer(mixed.prototypes)
    single = np.empty((len(mixed), len(bound)), dtype=np.float32)
    bound.fill(mixed, single)
    np.testing.assert_array_equal(single, bound.transform(mixed).astype(np.float32))


def test_columns_have_units(mixed):
    bound = SiteFeaturizer(mixed.prototypes)
    unit = dict(zip(bound.feature_names, bound.units, strict=True))
    assert (unit["A.ionic_radius"], unit["volume"], unit["A-X.electronegativity"]) == ("Å", "Å^3/atom", "Pauling")
    assert unit["prototype.elpasolite"] == unit["A/X.ionic_radius"] == ""


def test_two_of_the_same_prototypes_in_the_same_order_have_the_same_key(perovskites, mixed):
    key = SiteFeaturizer(mixed.prototypes).key
    assert SiteFeaturizer(list(mixed.prototypes)).key == key
    assert len({key, SiteFeaturizer(mixed.prototypes[::-1]).key, SiteFeaturizer(perovskites.prototypes).key}) == 3
    assert repr(SiteFeaturizer(mixed.prototypes)) == "SiteFeaturizer(cubic-perovskite, elpasolite)"


def test_it_travels_to_another_process(mixed):
    bound = SiteFeaturizer(mixed.prototypes)
    there = pickle.loads(pickle.dumps(bound))
    assert there.key == bound.key
    np.testing.assert_array_equal(there.transform(mixed), bound.transform(mixed))


def test_it_cannot_be_made_again_from_its_name(mixed):
    with pytest.raises(UserError, match=r"SiteFeaturizer\(table.prototypes\)"):
        SiteFeaturizer(mixed.prototypes).recipe()


def test_it_knows_whose_releases_change_its_numbers(mixed):
    software = SiteFeaturizer(mixed.prototypes).identity()["software"]
    assert software.keys() == {"matminer", "pymatgen", "pymatgen-core", "spglib"}


def test_it_says_whom_to_cite(mixed):
    assert any("Shannon" in citation for citation in SiteFeaturizer(mixed.prototypes).citations)


def test_prototypes_of_one_name_are_told_apart(perovskites):
    prototype = perovskites.prototypes[0]
    other = Prototype(
        prototype.name,
        prototype.label,
        ("X", "B", "A"),
        prototype.lattice,
        prototype.frac_coords,
        [2 - role for role in prototype.role_of_site.tolist()],
    )
    table = CandidateTable([other], [0], [[17, 82, 55]], [30.0])
    with pytest.raises(UserError, match="without this prototype"):
        SiteFeaturizer(perovskites.prototypes).transform(table)
