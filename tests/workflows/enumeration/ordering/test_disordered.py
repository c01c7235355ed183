from __future__ import annotations

import re
from itertools import combinations

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Species, Structure
from pymatgen.io.cif import CifParser, CifWriter
from pymatgen.transformations.standard_transformations import OrderDisorderedStructureTransformation

from matscout.errors import UserError
from matscout.workflows.enumeration import get_prototype
from matscout.workflows.enumeration.ordering.disordered import mixed_structures, ordered_structures

STRICT = StructureMatcher(ltol=1e-3, stol=1e-3, angle_tol=0.1, attempt_supercell=False)
SRTIO3 = get_prototype("cubic-perovskite").structure(["Sr", "Ti", "O"])


def disordered(structure, **species):
    copy = structure.copy()
    copy.replace_species(species)
    return copy


def test_a_perovskite_with_mixed_anions_in_a_cif_has_the_crystals_that_pymatgen_finds(tmp_path):
    path = tmp_path / "oxynitride.cif"
    CifWriter(disordered(SRTIO3 * (1, 1, 2), O={"O": 2 / 3, "N": 1 / 3})).write_file(path)
    read = CifParser(path).parse_structures(primitive=False)[0]
    theirs = OrderDisorderedStructureTransformation(algo=0).apply_transformation(
        read.copy().add_oxidation_state_by_element({"Sr": 2, "Ti": 4, "O": -2, "N": -3}), return_ranked_list=100
    )
    theirs = [one["structure"].remove_oxidation_states() for one in theirs]
    ours = ordered_structures(read, max_cells=2)  # the CIF's cell is two primitive ones
    assert len(ours) == len(STRICT.group_structures(ours)) == 7
    assert all(any(STRICT.fit(one, other) for other in ours) for one in theirs)


def test_copper_gold_contains_auricupride():
    alloy = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.75), [{"Cu": 0.75, "Au": 0.25}], [[0, 0, 0]])
    cells = ordered_structures(alloy, max_cells=4)
    auricupride = Structure.from_spacegroup("Pm-3m", Lattice.cubic(3.75), ["Au", "Cu"], [[0, 0, 0], [0, 0.5, 0.5]])
    assert [cell for cell in cells if STRICT.fit(cell, auricupride)] == [cells[0]]
    assert {cell.reduced_formula for cell in cells} == {"Cu3Au"}
    assert all(cell.volume / len(cell) == pytest.approx(alloy.volume / 4) for cell in cells)


def test_vacancies_are_absent_sites():
    cells = ordered_structures(disordered(SRTIO3, O={"O": 2 / 3}))
    assert [cell.reduced_formula for cell in cells] == ["SrTiO2"]
    assert cells[0].volume == pytest.approx(SRTIO3.volume)
    titanium = next(site for site in cells[0] if site.specie.symbol == "Ti")
    assert len(cells[0].get_neighbors(titanium, 0.6 * SRTIO3.lattice.a)) == 4


def test_each_orbit_of_mixed_sites_keeps_its_occupancies():
    # two orbits of one site each, mixed alike: within one cell neither could keep its occupancies
    mixed = Structure(
        Lattice.tetragonal(3, 5),
        [{"Cu": 0.5, "Au": 0.5}, {"Cu": 0.5, "Au": 0.5}, "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0, 0.3]],
    )
    with pytest.raises(UserError, match=r"on site 1 has 1 site and .* on site 2 has 1 site in a primitive cell"):
        ordered_structures(mixed)
    for cell in ordered_structures(mixed, max_cells=2):
        oxygen = next(site for site in cell if site.specie.symbol == "O")
        below = [site for site in cell if site.specie.symbol != "O" and site.distance(oxygen) < 1.6]
        assert len(below) == 1
        metals = [site.specie.symbol for site in cell if site.specie.symbol != "O"]
        assert sorted(metals) == ["Au", "Au", "Cu", "Cu"]


def test_charges_stay():
    mixed = disordered(SRTIO3, Sr={Species("Sr", 2): 0.5, Species("La", 3): 0.5})
    cells = ordered_structures(mixed, max_cells=2)
    assert len(cells) == 3
    assert all({str(site.specie) for site in cell} == {"Sr2+", "La3+", "Ti", "O"} for cell in cells)


def test_an_ordered_crystal_is_its_own_ordered_cell():
    assert ordered_structures(SRTIO3) == [SRTIO3]


@pytest.mark.parametrize(
    ("shares", "parts"),
    [((0.33, 0.67), (2, 1)), ((0.667, 0.333), (2, 1)), ((0.17, 0.83), (5, 1)), ((0.5, 0.5), (1, 1))],
)
def test_rounded_occupancies_stand_for_fractions(shares, parts):
    mixed = Structure(Lattice.cubic(3), [dict(zip(("Cu", "Au"), shares, strict=True))], [[0, 0, 0]])
    cell = ordered_structures(mixed, max_cells=sum(parts))[0]
    amounts = cell.composition.reduced_composition.get_el_amt_dict()
    assert sorted(amounts.values(), reverse=True) == list(parts)


# from an ordered crystal or a prototype


def test_a_mixture_takes_the_place_of_an_element():
    cells = mixed_structures(SRTIO3, {"Sr": "Sr0.75Ba0.25"}, max_cells=4)
    assert {cell.reduced_formula for cell in cells} == {"BaSr3Ti4O12"}
    assert len(cells) == len(STRICT.group_structures(cells)) == 9  # as of A3B on a simple cubic lattice


def test_a_prototype_and_its_crystal_give_the_same_cells():
    from_prototype = mixed_structures(get_prototype("cubic-perovskite"), {"A": "Sr", "B": "Ti", "X": "OFN"})
    assert from_prototype == mixed_structures(SRTIO3, {"O": "OFN"})
    assert len(from_prototype) == 1


def test_without_a_mixture_elements_are_replaced():
    assert [one.reduced_formula for one in mixed_structures(SRTIO3, {"Sr": "Ba"})] == ["BaTiO3"]


def test_an_element_that_is_there_already_makes_some_cells_the_same():
    elpasolite = get_prototype("elpasolite")
    elements = {"A": "Ba", "B": "Fe", "B'": "FeMo", "X": "O"}
    cells = mixed_structures(elpasolite, elements, max_cells=2)
    assert len(cells) == len(STRICT.group_structures(cells))
    # the same from all ways to put three Fe and one Mo on the B sites of two cells
    distinct = mixed_structures(elpasolite, elements | {"B": "Co"}, max_cells=2)
    replaced = [one.copy() for one in distinct]
    for one in replaced:
        one.replace_species({"Co": "Fe"})
    assert len(STRICT.group_structures(replaced)) == len(cells)


def test_elements_of_equal_amounts_are_put_in_both_orders():
    rutile = get_prototype("A2B_tP6_136_f_a").structure(["O", "Ti"])
    cells = mixed_structures(rutile, {"O": "OF"})
    oxygens = [i for i, site in enumerate(rutile) if site.specie.symbol == "O"]
    every = []
    for chosen in combinations(oxygens, 2):
        crystal = rutile.copy()
        for i in chosen:
            crystal.replace(i, "F")
        every.append(crystal)
    assert len(cells) == len(STRICT.group_structures(every))
    assert all(any(STRICT.fit(one, other) for other in cells) for one in every)


# refusals


def site_of(**species):
    return Structure(Lattice.cubic(3), [species], [[0, 0, 0]])


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (site_of(Cu=0.37, Au=0.63), "has the occupancy 0.37, which is no fraction with a denominator up to 12"),
        (site_of(Cu=0.25, Au=0.25, Ag=0.3), "is divided into 20 parts, more than 12"),
        (site_of(Cu=0.5, Au=0.5), "needs supercells: max_cells must be at least 2, got 1"),
    ],
)
def test_what_cannot_be_ordered_is_refused_in_a_sentence(structure, message):
    with pytest.raises(UserError, match=re.escape(message)):
        ordered_structures(structure)


def test_more_than_one_atom_on_a_site_is_refused():
    crowded = Structure(Lattice.cubic(3), [{"Cu": 0.75}], [[0, 0, 0]])
    crowded[0]._species = type(crowded[0].species)({"Cu": 0.75, "Au": 0.5}, allow_negative=False)
    with pytest.raises(UserError, match=r"site 1 \(.*\) holds 1.25 atoms, more than one"):
        ordered_structures(crowded)


@pytest.mark.parametrize(
    ("parent", "elements", "message"),
    [
        (SRTIO3, {"Ba": "SrCa"}, "SrTiO3 has no Ba to replace, it has Sr, Ti, O"),
        (get_prototype("A2B_tP6_136_f_a"), {"A": "OF"}, "no elements for the role B of A2B_tP6_136_f_a"),
        (SRTIO3, {"Sr": "Sr0.5Xx0.5"}, 'unknown element "Xx"'),
        (site_of(Cu=0.5, Au=0.5), {"Cu": "CuAu"}, "order it with ordered_structures"),
    ],
)
def test_a_replacement_that_makes_no_sense_is_refused(parent, elements, message):
    with pytest.raises(UserError, match=re.escape(message)):
        mixed_structures(parent, elements, max_cells=2)
