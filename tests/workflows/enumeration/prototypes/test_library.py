from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest
from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY, WYCKOFF_MULTIPLICITY_DICT
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from matscout.errors import UserError
from matscout.workflows.enumeration import (
    common_names,
    find_prototypes,
    get_prototype,
    prototype_library,
    select_prototypes,
)

STRICT = {"ltol": 0.01, "stol": 0.01, "angle_tol": 0.2}

# As pymatgen ships them, these two have not the space group of their label.
SHIPPED_WITH_ANOTHER_GROUP = {"AB3_tI16_140_b_ah": 123, "A2B_oC12_38_de_ab": 63}


def label_parts(label):
    stoichiometry, pearson, group, *wyckoff = label.split("_")
    amounts = [int(number or 1) for number in re.findall(r"[A-Z](\d*)", stoichiometry)]
    return amounts, pearson, int(group), wyckoff


def test_all_288_prototypes_of_pymatgen_are_there_under_their_labels():
    aflow = [p for p in prototype_library().values() if p.name.startswith(p.label)]
    assert len(aflow) == len(AFLOW_PROTOTYPE_LIBRARY) == 288
    assert Counter(p.label for p in aflow) == Counter(entry["tags"]["aflow"] for entry in AFLOW_PROTOTYPE_LIBRARY)
    assert Counter(len(p.roles) for p in aflow) == {1: 55, 2: 176, 3: 48, 4: 8, 5: 1}


def test_names_are_unique_and_say_which_of_several():
    library = prototype_library()
    assert all(name == prototype.name for name, prototype in library.items())
    of_one_label = {name for name, prototype in library.items() if prototype.label == "AB2_oP6_58_a_g"}
    assert of_one_label == {"marcasite", "AB2_oP6_58_a_g-CaCl2", "AB2_oP6_58_a_g-FeS2", "AB2_oP6_58_a_g-Fe2C"}


def test_the_cells_are_those_that_pymatgen_ships():
    shipped = {}
    for entry in AFLOW_PROTOTYPE_LIBRARY:
        shipped.setdefault(entry["tags"]["aflow"], []).append(entry["snl"].structure)
    for prototype in prototype_library().values():
        if not prototype.name.startswith(prototype.label):
            continue
        matches = [s for s in shipped[prototype.label] if len(s) == prototype.n_sites and fits(prototype, s)]
        assert len(matches) == 1, prototype.name


def fits(prototype, structure):
    elements = sorted({site.specie.symbol for site in structure})
    return np.allclose(prototype.lattice, structure.lattice.matrix) and prototype.structure(elements) == structure


def test_roles_have_the_amounts_and_the_wyckoff_sites_of_the_label():
    for prototype in prototype_library().values():
        if not prototype.name.startswith(prototype.label) or prototype.name in SHIPPED_WITH_ANOTHER_GROUP:
            continue
        if prototype.label.startswith("sigma"):  # a label that names no stoichiometry
            continue
        amounts, _, group, wyckoff = label_parts(prototype.label)
        divisor = np.gcd.reduce(amounts)
        assert (prototype.reduced_multiplicity == np.array(amounts) // divisor).all(), prototype.name
        if group == 1:  # pyrite and KAsSe2, described without symmetry
            continue
        sites = [wyckoff_sites(group, letters) for letters in wyckoff]
        assert np.array_equal(np.array(sites) * prototype.n_sites, prototype.multiplicity * sum(sites)), prototype.name


def wyckoff_sites(group, letters):
    """Sites of a role in the conventional cell: 2ab is twice a and once b."""
    return sum(
        int(number or 1) * WYCKOFF_MULTIPLICITY_DICT[str(group)][letter]
        for number, letter in re.findall(r"(\d*)([A-Za-z])", letters)
    )


def test_every_aflow_crystal_has_the_space_group_of_its_label():
    for name, prototype in prototype_library().items():
        if not name.startswith(prototype.label):
            continue
        expected = SHIPPED_WITH_ANOTHER_GROUP.get(name, label_parts(prototype.label)[2])
        assert prototype.space_group == expected, name


def test_hexagonal_perovskite_matches_the_structure_of_banio3_that_pymatgen_ships():
    theirs = Structure.from_file(files("pymatgen.util").joinpath("structures", "BaNiO3.json"))
    assert StructureMatcher(ltol=0.03, stol=0.05, angle_tol=1).fit(
        get_prototype("hexagonal-perovskite-2H").structure(["Ba", "Ni", "O"]), theirs
    )


def test_elpasolite_is_a_perovskite_with_two_octahedral_metals():
    ordered = get_prototype("elpasolite").structure(["K", "Ti", "Ti", "O"])
    plain = get_prototype("cubic-perovskite").structure(["K", "Ti", "O"])
    assert StructureMatcher(**STRICT).fit(ordered, plain)


@pytest.mark.parametrize(
    "name",
    [
        "cubic-perovskite",
        "orthorhombic-perovskite",
        "rhombohedral-perovskite",
        "tetragonal-perovskite-tilted",
        "hexagonal-perovskite-2H",
        "elpasolite",
        "vacancy-ordered-perovskite",
    ],
)
def test_b_is_octahedral_and_a_has_twelve_neighbours_or_its_tilted_like(name):
    prototype = get_prototype(name)
    a, x = prototype.roles.index("A"), prototype.roles.index("X")
    for b in (i for i, role in enumerate(prototype.roles) if role.startswith("B")):
        assert prototype.coordination[b, x] == pytest.approx(6, abs=0.3)
        assert prototype.shortest_distances[b, x] < prototype.shortest_distances[a, x]


def test_common_names_stand_for_prototypes_that_exist():
    for alias, name in common_names().items():
        assert get_prototype(alias) is prototype_library()[name]


@pytest.mark.parametrize(
    ("alias", "formula"),
    [
        ("brookite", "TiO2"),
        ("baddeleyite", "ZrO2"),
        ("cuprite", "Cu2O"),
        ("cinnabar", "HgS"),
        ("moissanite-4H", "SiC"),
        ("hausmannite", "Mn3O4"),
        ("infinite-layer", "CaCuO2"),
        ("face-centred-cubic", "Cu"),
        ("body-centred-cubic", "W"),
        ("hexagonal-close-packed", "Mg"),
    ],
)
def test_common_names_are_of_the_right_crystal(alias, formula):
    assert get_prototype(alias).description.split(",")[0] == formula


@pytest.mark.parametrize("name", ["rutile", "spinel", "wurtzite", "corundum", "calcite", "chalcopyrite", "heusler"])
def test_a_family_took_the_name_that_an_aflow_prototype_had(name):
    assert get_prototype(name).name == name
    assert name not in common_names()


def test_every_prototype_has_a_description_and_a_source_in_plain_text():
    for prototype in prototype_library().values():
        assert prototype.description
        assert re.search(r"\((1[89]|20)\d\d\)", prototype.source), prototype.name
        assert not set("{}\\") & set(prototype.source), prototype.name


def test_an_unknown_prototype_gets_the_nearest_name():
    with pytest.raises(UserError, match=r'unknown prototype "cubic-perovskit"\. Nearest: cubic-perovskite\.'):
        get_prototype("cubic-perovskit")


def test_a_label_of_several_prototypes_lists_them():
    with pytest.raises(UserError, match=r"4 prototypes .* marcasite, AB2_oP6_58_a_g-CaCl2, .*-Fe2C or .*-FeS2"):
        get_prototype("AB2_oP6_58_a_g")


def test_a_formula_that_is_no_name_is_looked_up_in_the_descriptions():
    with pytest.raises(UserError, match=r'unknown prototype "BaNiO3"\. It is found .* hexagonal-perovskite-2H'):
        get_prototype("BaNiO3")


def test_a_label_that_one_prototype_has_is_enough():
    assert get_prototype("AB6C2D_cF40_225_a_e_c_b").name == "elpasolite"


def test_search_goes_over_name_label_description_and_common_name():
    names = [p.name for p in find_prototypes("PEROVSKITE")]
    assert {"cubic-perovskite", "elpasolite", "AB3C_oP20_62_c_cd_a"} <= set(names)
    assert {"rutile", "trirutile", "A2B_tP6_136_f_a"} <= {p.name for p in find_prototypes("rutile")}
    assert [p.name for p in find_prototypes("brookite")] == ["A2B_oP24_61_2c_c"]
    assert all("_225_" in p.label for p in find_prototypes("*_225_*"))
    assert find_prototypes("no such thing") == []


def test_selection_expands_patterns_in_order_and_once():
    chosen = select_prototypes(["rock-salt", "AB3C_*", "cubic-perovskite", "AB3C_cP5*", get_prototype("brookite")])
    names = [p.name for p in chosen]
    assert names[0] == "rock-salt"
    assert names[-1] == "A2B_oP24_61_2c_c"
    assert len(set(names)) == len(names)
    assert {"ilmenite", "AB3C_oP20_62_c_cd_a"} <= set(names)  # by label, and by name
    assert select_prototypes("all") == list(prototype_library().values())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "at least one"),
        (["AB3C_x*"], 'no prototype matches "AB3C_x'),
        (["rock-sald"], "Nearest: rock-salt"),
        ([["rock-salt"]], "named by a text, got ['rock-salt']"),
    ],
)
def test_a_selection_of_nothing_is_refused(names, message):
    with pytest.raises(UserError, match=re.escape(message)):
        select_prototypes(names)


def test_two_prototypes_of_one_name_are_refused():
    document = get_prototype("rock-salt").to_dict() | {"lattice": [[3, 0, 0], [0, 3, 0], [0, 0, 4]]}
    stranger = type(get_prototype("rock-salt")).from_dict(document)
    with pytest.raises(UserError, match="two different prototypes have the name rock-salt"):
        select_prototypes(["rock-salt", stranger])


def test_importing_enumeration_imports_no_pymatgen_torch_or_jobflow():
    code = (
        "import sys, matscout.workflows.enumeration as e; e.__all__;"
        "assert not {'pymatgen', 'torch', 'jobflow', 'pyarrow'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
