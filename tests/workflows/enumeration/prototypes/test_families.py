"""The families that the package's data files describe, held against spglib, pymatgen and bond valences."""

from __future__ import annotations

import doctest
import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from pymatgen.analysis.prototypes import (
    AFLOW_PROTOTYPE_LIBRARY,
    WYCKOFF_MULTIPLICITY_DICT,
    WYCKOFF_POSITION_RELAB_DICT,
)
from pymatgen.analysis.structure_matcher import StructureMatcher

from matscout.db._symmetry import spglib_call
from matscout.workflows.enumeration import get_prototype, prototype_library
from matscout.workflows.enumeration.prototypes import families
from matscout.workflows.enumeration.prototypes.families import build_family, read_data

FAMILIES = read_data()["family"]
every_family = pytest.mark.parametrize("family", FAMILIES, ids=[family["name"] for family in FAMILIES])

STRICT = {"ltol": 0.01, "stol": 0.01, "angle_tol": 0.2}

# As pymatgen ships them, these cells are not those of their sources: anatase has four oxygens at 2.05 Å around titanium
# (Howard et al.: four at 1.93 and two at 1.98 Å), and atoms of the others overlap.
SHIPPED_WRONG = {"anatase", "FeB", "laves-C36"}

# pymatgen's LiBC has the sites of ZrBeSi, but is a third taller for its width.
SHIPPED_OF_ANOTHER_SHAPE = {"ZrBeSi"}

# Ions of the compound that a family's cell was measured on, by role, where bond valences are tabulated.
IONS = {
    "orthorhombic-perovskite": "Ca2 Ti4 O-2",
    "rhombohedral-perovskite": "La3 Al3 O-2",
    "tetragonal-perovskite": "Pb2 Ti4 O-2",
    "tetragonal-perovskite-tilted": "Sr2 Ti4 O-2",
    "rhombohedral-perovskite-polar": "Ba2 Ti4 O-2",
    "hexagonal-perovskite-4H": "Sr2 Mn4 O-2",
    "hexagonal-perovskite-6H": "Ba2 Ti4 O-2",
    "post-perovskite": "Ca2 Ir4 O-2",
    "double-perovskite-tetragonal": "Sr2 Ni2 W6 O-2",
    "double-perovskite-monoclinic": "Na1 Na1 Al3 F-1",
    "vacancy-ordered-perovskite": "K1 Pt4 Cl-1",
    "vacancy-ordered-perovskite-dimer": "Cs1 Cr3 Cl-1",
    "vacancy-ordered-perovskite-layered": "Cs1 Bi3 Br-1",
    "brownmillerite": "Ca2 Fe3 Al3 O-2",
    "ruddlesden-popper-n1": "K1 Ni2 F-1",
    "ruddlesden-popper-n2": "Sr2 Ti4 O-2",
    "ruddlesden-popper-n3": "Sr2 Ti4 O-2",
    "rock-salt": "Na1 Cl-1",
    "fluorite": "Ca2 F-1",
    "rutile": "Ti4 O-2",
    "anatase": "Ti4 O-2",
    "quartz": "Si4 O-2",
    "cristobalite": "Si4 O-2",
    "corundum": "Al3 O-2",
    "bixbyite": "In3 O-2",
    "lanthana": "La3 O-2",
    "layered-rock-salt": "Li1 Co3 O-2",
    "delafossite": "Cu1 Al3 O-2",
    "delafossite-2H": "Cu1 Y3 O-2",
    "lithium-rich-layered": "Li1 Mn4 O-2",
    "ilmenite": "Fe2 Ti4 O-2",
    "lithium-niobate": "Li1 Nb5 O-2",
    "calcite": "Ca2 C4 O-2",
    "aragonite": "Ca2 C4 O-2",
    "spinel": "Mg2 Al3 O-2",
    "spinel-tetragonal": "Mn2 Mn3 O-2",
    "inverse-spinel-tetragonal": "Ti4 Zn2 O-2",
    "trirutile": "Co2 Sb5 O-2",
    "columbite": "Fe2 Nb5 O-2",
    "rosiaite": "Pb2 Sb5 O-2",
    "scheelite": "Ca2 W6 O-2",
    "zircon": "Zr4 Si4 O-2",
    "monazite": "La3 P5 O-2",
    "wolframite": "Zn2 W6 O-2",
    "anhydrite": "Ca2 S6 O-2",
    "barite": "Ba2 S6 O-2",
    "arcanite": "K1 S6 O-2",
    "olivine": "Mg2 Mg2 Si4 O-2",
    "pyroxene": "Ca2 Mg2 Si4 O-2",
    "garnet": "Ca2 Al3 Si4 O-2",
    "pyrochlore": "Y3 Ti4 O-2 O-2",
}


def symmetry(prototype):
    cell = (prototype.lattice, prototype.frac_coords, prototype.role_of_site + 1)
    return spglib_call("get_symmetry_dataset", cell, symprec=1e-3)


def expanded(letters):
    """Letters of a part of a label, each as often as it is counted: a2b is abb."""
    return "".join(sorted("".join(letter * int(number or 1) for number, letter in re.findall(r"(\d*)(\w)", letters))))


def declared_letters(family):
    """Wyckoff letters of each role, sorted, in the order of the roles."""
    return [
        "".join(sorted(site["wyckoff"][-1] for site in family["sites"] if site["role"] == role))
        for role in family["roles"]
    ]


def found_letters(prototype):
    """Wyckoff letters that spglib finds for each role, one per orbit, sorted."""
    dataset = symmetry(prototype)
    orbits = set(zip(prototype.role_of_site, dataset.crystallographic_orbits, dataset.wyckoffs, strict=True))
    return ["".join(sorted(w for r, _, w in orbits if r == role)) for role in range(len(prototype.roles))]


def test_examples_in_docstrings_run():
    failed, tried = doctest.testmod(families)
    assert tried > 0
    assert failed == 0


def test_there_are_more_than_sixty_and_each_has_its_own_name():
    names = [family["name"] for family in FAMILIES]
    assert len(set(names)) == len(names) > 60
    assert not set(names) & set(read_data()["aliases"])
    assert list(prototype_library())[: len(names)] == names  # families come first


@every_family
def test_a_family_has_its_declared_group_and_wyckoff_positions(family):
    prototype = get_prototype(family["name"])
    assert prototype.space_group == family["space_group"]
    # letters depend on the choice of origin: any of the choices that the group allows
    found = found_letters(prototype)
    relabelled = [
        ["".join(sorted(letters.translate(table))) for letters in found]
        for table in WYCKOFF_POSITION_RELAB_DICT[str(family["space_group"])]
    ]
    assert declared_letters(family) in relabelled


@every_family
def test_a_family_declares_multiplicities_of_the_international_tables(family):
    multiplicities = WYCKOFF_MULTIPLICITY_DICT[str(family["space_group"])]
    for site in family["sites"]:
        assert int(site["wyckoff"][:-1]) == multiplicities[site["wyckoff"][-1]]


@every_family
def test_a_label_tells_the_same_crystal_as_the_sites(family):
    stoichiometry, pearson, group, *wyckoff = family["label"].split("_")
    prototype = get_prototype(family["name"])
    assert int(group) == family["space_group"]
    points = {"R": 1, "P": 1, "F": 4}.get(pearson[1], 2)
    assert int(pearson[2:]) == prototype.n_sites * points
    amounts = [int(number or 1) for number in re.findall(r"[A-Z](\d*)", stoichiometry)]
    told = sorted(zip(amounts, map(expanded, wyckoff), strict=True))
    assert told == sorted(zip(prototype.reduced_multiplicity, declared_letters(family), strict=True))


@every_family
def test_a_source_names_authors_a_year_and_the_compound(family):
    assert re.match(r"(\w\.|\w\.-\w\.|[A-Z][\w.'-]+) ", family["source"])
    assert re.search(r"\((19|20)\d\d\).*: .*[A-Z]", family["source"])


def shipped_twins(label):
    return [p for p in prototype_library().values() if p.label == label and p.name.startswith(label)]


@pytest.mark.parametrize(
    "name",
    [
        family["name"]
        for family in FAMILIES
        if family["name"] not in SHIPPED_WRONG | SHIPPED_OF_ANOTHER_SHAPE
        and any(entry["tags"]["aflow"] == family["label"] for entry in AFLOW_PROTOTYPE_LIBRARY)
    ],
)
def test_a_family_matches_the_prototype_of_its_label_that_pymatgen_ships(name):
    prototype = get_prototype(name)
    shipped = shipped_twins(prototype.label)
    if any(prototype.role_maps(other) for other in shipped):  # the same crystal, exactly
        return
    ours, *theirs = (p.structure(["Li", "Ag", "Te", "Br", "Hf"][: len(p.roles)]) for p in [prototype, *shipped])
    assert any(StructureMatcher().fit_anonymous(ours, other) for other in theirs)


@pytest.mark.parametrize("name", sorted(SHIPPED_WRONG))
def test_a_prototype_that_pymatgen_ships_wrong_has_other_distances(name):
    prototype = get_prototype(name)
    for other in shipped_twins(prototype.label):
        assert not prototype.role_maps(other)


@pytest.mark.parametrize(
    ("family", "aflow", "elements"),
    [
        ("cubic-perovskite", "AB3C_cP5_221_a_c_b", ("Ca", "Ti", "O")),
        ("orthorhombic-perovskite", "AB3C_oP20_62_c_cd_a", ("Ca", "Ti", "O")),
        ("ilmenite", "AB3C_hR10_148_c_f_c", ("Fe", "Ti", "O")),
        ("rock-salt", "AB_cF8_225_a_b", ("Na", "Cl")),
        ("fluorite", "AB2_cF12_225_a_c", ("Ca", "F")),
        ("rutile", "A2B_tP6_136_f_a", ("Ti", "O")),
        ("quartz", "A2B_hP9_152_c_a", ("Si", "O")),
        ("cristobalite", "A2B_tP12_92_b_a", ("Si", "O")),
        ("rhenium-trioxide", "A3B_cP4_221_d_a", ("Re", "O")),
        ("corundum", "A2B3_hR10_167_c_e", ("Al", "O")),
        ("lithium-niobate", "ABC3_hR10_161_a_a_b", ("Li", "Nb", "O")),
        ("calcite", "ABC3_hR10_167_a_b_e", ("Ca", "C", "O")),
        ("spinel", "A2BC4_cF56_227_d_a_e", ("Mg", "Al", "O")),
        ("spinel-tetragonal", "A3B4_tI28_141_ad_h", ("Mn", "Mn", "O")),
        ("zircon", "A4BC_tI24_141_h_b_a", ("Zr", "Si", "O")),
    ],
)
def test_a_family_is_the_crystal_of_the_same_compound_that_pymatgen_ships(family, aflow, elements):
    ours = get_prototype(family).structure(elements)
    shipped = [e["snl"].structure for e in AFLOW_PROTOTYPE_LIBRARY if e["tags"]["aflow"] == aflow]
    same = [theirs for theirs in shipped if theirs.composition.reduced_formula == ours.composition.reduced_formula]
    assert len(same) == 1
    assert StructureMatcher(**STRICT).fit(ours, same[0])


def test_antiperovskite_is_cubic_perovskite_with_other_roles():
    antiperovskite, perovskite = get_prototype("antiperovskite"), get_prototype("cubic-perovskite")
    assert antiperovskite.roles == ("A", "X", "M")
    assert antiperovskite.role_maps(perovskite) == [(0, 1, 2)]


def bond_valences():
    """Parameters (r0, b) in Å of the tables of I. D. Brown that matminer ships, the first of each pair of ions."""
    path = Path(find_spec("matminer").origin).parent / "utils" / "data_files" / "bvparm2020.cif"
    row = re.compile(r"([A-Z][a-z]?) +(-?\d+) +([A-Z][a-z]?) +(-?\d+) +([\d.]+) +([\d.]+)")
    parameters = {}
    for match in filter(None, map(row.match, path.read_text(encoding="latin-1").splitlines())):
        cation, valence, anion, charge = match[1], int(match[2]), match[3], int(match[4])
        parameters.setdefault((cation, valence, anion, charge), (float(match[5]), float(match[6])))
    return parameters


@pytest.fixture(scope="module")
def parameters():
    return bond_valences()


@pytest.mark.parametrize("name", IONS)
def test_bond_valences_at_the_published_cell_are_those_of_the_ions(name, parameters):
    prototype = get_prototype(name)
    ions = [re.fullmatch(r"([A-Z][a-z]?)(-?\d)", ion).groups() for ion in IONS[name].split()]
    structure = prototype.structure([symbol for symbol, _ in ions])
    states = np.array([int(state) for _, state in ions])[prototype.role_of_site]
    sums = np.zeros(len(structure))
    centers, points, _, distances = structure.get_neighbor_list(4.2)
    for i, j, distance in zip(centers, points, distances, strict=True):
        if states[i] > 0 > states[j]:
            cation, anion = structure[i].specie.symbol, structure[j].specie.symbol
            pair = (cation, states[i], anion, states[j])
            r0, b = parameters.get(pair) or parameters[cation, 9, anion, states[j]]  # 9: of any valence
            sums[[i, j]] += np.exp((r0 - distance) / b) * np.array([1, -1])
    instability = np.sqrt(np.mean((sums - states) ** 2))  # global instability index, in valence units
    assert instability < 0.42


def test_a_wrong_parameter_would_show_in_the_bond_valences(parameters):
    anatase = next(family for family in FAMILIES if family["name"] == "anatase")
    shifted = [site | ({"z": 0.05} if "z" in site else {}) for site in anatase["sites"]]
    structure = build_family(anatase | {"sites": shifted}).structure(["Ti", "O"])
    r0, b = parameters["Ti", 4, "O", -2]
    oxygen = [n.nn_distance for n in structure.get_neighbors(structure[0], 4.2) if n.specie.symbol == "O"]
    assert abs(np.exp((r0 - np.array(oxygen)) / b).sum() - 4) > 0.6


@pytest.mark.parametrize(
    ("name", "swaps"),
    [
        ("layered-rock-salt", ((1, 0, 2),)),  # z(X) = 1/4: layers of A and of B between like layers of X
        ("wolframite", ((1, 0, 2),)),
        ("double-perovskite-tetragonal", ((0, 2, 1, 3),)),
        ("double-perovskite-monoclinic", ((0, 2, 1, 3),)),
        ("delafossite", ()),  # CuAlO2 is not AlCuO2
        ("scheelite", ()),
        ("pyrochlore", ()),
    ],
)
def test_roles_that_an_ideal_value_makes_exchangeable_are_those_expected(name, swaps):
    assert get_prototype(name).ideal_swaps == swaps


@pytest.mark.parametrize(
    "family", [f for f in FAMILIES if any("ideal" in s for s in f["sites"])], ids=lambda f: f["name"]
)
def test_an_ideal_value_is_near_the_published_one(family):
    prototype = get_prototype(family["name"])
    assert prototype.ideal_swaps
    elements = ["Li", "Ag", "Te", "Br", "Hf"][: len(prototype.roles)]
    for swap in prototype.ideal_swaps:
        swapped = prototype.structure([elements[role] for role in swap])
        assert StructureMatcher().fit(prototype.structure(elements), swapped)


CAESIUM_CHLORIDE = {
    "name": "my-CsCl",
    "label": "AB_cP2_221_b_a",
    "roles": ["A", "X"],
    "description": "CsCl",
    "source": "made up",
    "space_group": 221,
    "hall_number": 517,
    "cell": {"a": 4.12},
    "sites": [
        {"role": "A", "wyckoff": "1b", "position": "1/2, 1/2, 1/2"},
        {"role": "X", "wyckoff": "1a", "position": "0, 0, 0"},
    ],
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hall_number": 523}, "hall_number 523 is no setting of space group 221"),
        ({"cell": {"a": 4.12, "c": 4.12}}, "given by a, got a, c"),
        ({"roles": ["A", "Y"]}, "the role X of 1a is none of A, Y"),
        ({"sites": [{"role": "A", "wyckoff": "1b", "position": "x, 0, 0", "x": 0.2}]}, "has 6 sites"),
        ({"sites": [{"role": "A", "wyckoff": "1b", "position": "1/2; 1/2"}]}, '"1/2; 1/2" has 1 coordinates'),
        ({"sites": CAESIUM_CHLORIDE["sites"][:1]}, "every role in"),
    ],
)
def test_a_document_that_contradicts_itself_is_refused_with_its_name(changes, message):
    with pytest.raises(ValueError, match=f"my-CsCl: .*{re.escape(message)}"):
        build_family(CAESIUM_CHLORIDE | changes)


def test_a_role_may_have_several_orbits():
    count = Counter(get_prototype("orthorhombic-perovskite").role_of_site.tolist())
    assert count == {0: 4, 1: 4, 2: 12}


def test_files_are_read_in_the_order_of_their_names(tmp_path):
    (tmp_path / "b.toml").write_text('[[family]]\nname = "second"\n[aliases]\ncommon = "second"\n')
    (tmp_path / "a.toml").write_text('[[family]]\nname = "first"\n[[ideal]]\nname = "first"\n')
    data = read_data(tmp_path)
    assert [family["name"] for family in data["family"]] == ["first", "second"]
    assert data["ideal"] == [{"name": "first"}]
    assert data["aliases"] == {"common": "second"}


def test_a_name_of_two_prototypes_is_refused(tmp_path):
    (tmp_path / "a.toml").write_text('[[family]]\nname = "rutile"\n')
    (tmp_path / "b.toml").write_text('[aliases]\nrutile = "A2B_tP6_136_f_a"\n')
    with pytest.raises(ValueError, match="a name must stand for one prototype, but rutile stand for more"):
        read_data(tmp_path)
