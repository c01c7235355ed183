from __future__ import annotations

import gzip
import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import DummySpecies, Element, Lattice, Species, Structure
from pymatgen.io.cif import CifWriter

from matscout.crystals.structure_files import read_structures
from matscout.db._symmetry import spglib_call
from matscout.errors import UserError
from matscout.workflows.enumeration import enumerate_candidates, get_prototype, prototype_library
from matscout.workflows.enumeration.prototypes.from_structures import (
    prototype_from_structure,
    read_prototype,
    read_prototypes,
)

STRICT = {"ltol": 0.01, "stol": 0.01, "angle_tol": 0.2}
NAMES = [name for name, prototype in prototype_library().items() if 2 <= prototype.n_sites <= 16][::5]

CELL = "_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\n" + "".join(
    f"_cell_angle_{angle} 90\n" for angle in ("alpha", "beta", "gamma")
)
COLUMNS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")


def cif(*sites, cell=CELL, name="x"):
    head = f"data_{name}\n{cell}_symmetry_equiv_pos_as_xyz 'x,y,z'\nloop_\n"
    return head + "".join(f"_atom_site_{column}\n" for column in COLUMNS) + "".join(f"{site}\n" for site in sites)


GOOD = cif("Cs1 Cs 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 1")
POSCAR = "x\n1\n4 0 0\n0 4 0\n0 0 4\n{elements}1 1\nDirect\n0 0 0\n.5 .5 .5\n"
XYZ = '2\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T"\nCs 0 0 0\nCl 2 2 2\n'


@st.composite
def settings_of_a_crystal(draw):
    """Another cell, origin, orientation and order of sites, as a function of a structure."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def moved(structure):
        cell = np.eye(3, dtype=int)[rng.permutation(3)]
        for _ in range(3):
            i, j = rng.permutation(3)[:2]
            cell[i] += rng.integers(-1, 2) * cell[j]
        cell[0] *= rng.integers(1, 3)
        other = structure.copy()
        other.make_supercell(cell, to_unit_cell=True)
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        turn *= np.linalg.det(turn)  # a rotation: mirror images are other crystals
        order = rng.permutation(len(other))
        species = [other[i].specie for i in order]
        return Structure(other.lattice.matrix @ turn, species, other.frac_coords[order] + rng.random(3))

    return moved


def own(prototype, formula_elements):
    """The prototype decorated with the elements that its roles are named after."""
    symbols = ["".join(c for c in role if c.isalpha()) for role in prototype.roles]
    assert set(symbols) == set(formula_elements)
    return prototype.structure(symbols)


def some_elements(prototype):
    return [Element.from_Z(z).symbol for z in (38, 22, 8, 9, 7, 17)][: len(prototype.roles)]


@settings(max_examples=12)
@given(st.sampled_from(NAMES), settings_of_a_crystal(), st.sampled_from(["orbits", "elements"]))
def test_the_setting_of_the_input_leaves_no_trace(name, moved, roles):
    structure = get_prototype(name).structure(some_elements(get_prototype(name)))
    first = prototype_from_structure(structure, "mine", roles=roles)
    second = prototype_from_structure(moved(structure), "mine", roles=roles)
    assert second.key == first.key
    assert second.roles == first.roles
    assert second.equivalent_roles == first.equivalent_roles
    assert second.label == first.label


@settings(max_examples=12)
@given(st.sampled_from(NAMES), st.sampled_from(["orbits", "elements"]))
def test_decorated_with_its_own_elements_it_is_the_crystal(name, roles):
    structure = get_prototype(name).structure(some_elements(get_prototype(name)))
    prototype = prototype_from_structure(structure, roles=roles)
    assert StructureMatcher(**STRICT).fit(own(prototype, structure.symbol_set), structure)
    assert prototype.n_sites <= len(structure)


@pytest.mark.parametrize("name", ["cubic-perovskite", "elpasolite", "olivine", "spinel", "rutile", "garnet"])
def test_a_prototype_of_the_library_is_found_again(name):
    wanted = get_prototype(name)
    made = prototype_from_structure(wanted.structure(["Sr", "Ti", "O", "F"][: len(wanted.roles)]), roles="elements")
    assert made.role_maps(wanted)
    assert made.space_group == wanted.space_group
    assert made.equivalent_roles == wanted.equivalent_roles


def test_orbits_are_numbered_where_an_element_has_several():
    olivine = get_prototype("olivine")
    structure = olivine.structure(["Mg"] * (len(olivine.roles) - 2) + ["Si", "O"])
    prototype = prototype_from_structure(structure, "forsterite")
    assert prototype.roles == ("Mg1", "Mg2", "Si", "O1", "O2", "O3")
    assert prototype.multiplicity.tolist() == [4, 4, 4, 4, 4, 8]
    assert prototype_from_structure(structure, roles="elements").roles == ("Mg", "Si", "O")


def test_noise_within_the_tolerance_is_idealised_away():
    ideal = get_prototype("cubic-perovskite").structure(["Sr", "Ti", "O"])
    noisy = ideal.copy()
    noisy.perturb(0.003)
    assert prototype_from_structure(noisy).space_group == 221
    assert prototype_from_structure(noisy).role_maps(prototype_from_structure(ideal))
    assert prototype_from_structure(noisy, symprec=1e-5).roles == ("Sr", "Ti", "O1", "O2", "O3")


def test_mirror_images_stay_two():
    quartz = Structure.from_spacegroup(
        "P3_121", Lattice.hexagonal(4.91, 5.40), ["Si", "O"], [[0.47, 0, 1 / 3], [0.41, 0.27, 0.12 + 1 / 3]]
    )
    mirror = Structure(quartz.lattice.matrix * [1, 1, -1], quartz.species, quartz.frac_coords)
    left, right = (prototype_from_structure(crystal, "quartz") for crystal in (quartz, mirror))
    assert {left.space_group, right.space_group} == {152, 154}
    assert left.key != right.key
    assert left.role_maps(right)


def test_relaxed_crystals_keep_their_symmetry_and_content(data):
    with gzip.open(data / "matbench" / "phonons_structures.json.gz") as file:
        rows = json.load(file)["data"][::60]
    for structure in (Structure.from_dict(row[0]) for row in rows):
        prototype = prototype_from_structure(structure)
        cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
        assert prototype.space_group == spglib_call("get_symmetry_dataset", cell, symprec=0.01).number
        assert StructureMatcher(**STRICT).fit(own(prototype, structure.symbol_set), structure)


def test_it_decorates_like_any_other(tmp_path):
    (tmp_path / "mine.cif").write_text(GOOD)
    prototype = read_prototype(tmp_path / "mine.cif")
    table = enumerate_candidates(prototype, {"Cs": ["K", "Rb"], "Cl": ["Br"]})
    assert table.formulas == ["KBr", "RbBr"]
    assert (prototype.name, prototype.label, prototype.source) == (
        "mine",
        "AB_cP2_221_a_b",
        str(tmp_path / "mine.cif"),
    )


def test_oxidation_states_and_site_properties_are_left_out():
    lattice, sites = Lattice.cubic(4), [[0, 0, 0], [0.5, 0.5, 0.5]]
    plain = prototype_from_structure(Structure(lattice, ["Cs", "Cl"], sites))
    dressed = Structure(lattice, ["Cs+", "Cl-"], sites, site_properties={"magmom": [1.0, 2.0]})
    assert prototype_from_structure(dressed).key == plain.key


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.cif", GOOD),
        ("a.cif.gz", gzip.compress(GOOD.encode())),
        ("a", GOOD),
        ("POSCAR", POSCAR.format(elements="Cs Cl\n")),
        ("a.vasp", POSCAR.format(elements="Cs Cl\n")),
        ("a.xyz", XYZ),
        ("a.extxyz", XYZ),
        ("latin.cif", b"# M\xfcller\n" + GOOD.encode()),
    ],
)
def test_every_format_gives_the_same_crystal(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prototype = read_prototype(path, "mine")
    assert prototype.key == prototype_from_structure(read_structures(path)[0][0].structure, "mine").key
    assert prototype.roles == ("Cs", "Cl")


def test_json_holds_a_structure_an_entry_or_many(tmp_path):
    structure = get_prototype("rock-salt").structure(["Na", "Cl"]).as_dict()
    for content, names in [
        (structure, ["a"]),
        ([structure, structure], ["a-1", "a-2"]),
        ([{"entry_id": "mp-1", "structure": structure}, {"structure": structure}], ["mp-1", "a-2"]),
    ]:
        (tmp_path / "a.json").write_text(json.dumps(content))
        structures, refused = read_structures(tmp_path / "a.json")
        assert ([name for name, _ in structures], refused) == (names, [])


def test_a_cif_of_many_blocks_is_read_block_by_block(tmp_path):
    broken = cif("Na1 Na 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 0.9", name="second")
    text = "data_global\n_journal_year 1999\n" + GOOD + broken + GOOD.replace("data_x", "data_third")
    (tmp_path / "many.cif").write_text(text)
    prototypes, refused = read_prototypes([tmp_path / "many.cif"])
    assert [prototype.name for prototype in prototypes] == ["many-x", "many-third"]
    (only,) = refused
    assert only.name == f"{tmp_path}/many.cif, many-second"
    assert only.reason.startswith("site 2 (Cl1) holds Cl0.9: an ordered cell is needed")


def test_a_written_cif_gives_the_same_prototype(tmp_path):
    structure = get_prototype("olivine").structure(["Li", "Fe", "P", "O"][: len(get_prototype("olivine").roles)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib's, at pymatgen's calls
        CifWriter(structure, symprec=0.01, significant_figures=10).write_file(tmp_path / "a.cif")
    assert read_prototype(tmp_path / "a.cif", "a").roles == prototype_from_structure(structure, "a").roles
    assert read_prototype(tmp_path / "a.cif", "a").role_maps(prototype_from_structure(structure, "a"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.cif", cif("Fe1 Fe 0 0 0 .5", "Co1 Co 0 0 0 .5", "O1 O .5 .5 .5 1"), r"site 1 .* holds Fe0.5Co0.5: an ord"),
        ("a.cif", cif("Fe1 Fe 0 0 0 1", "Co1 Co 0 0 0 1"), "Occupancy 2.0 exceeded"),
        ("a.cif", cif("Fe1 Fe 0 0 0 1", "Co1 Co .05 0 0 1"), r"site 1 \(Fe1\), Fe, and site 2 \(Co1\), Co, overlap"),
        ("a.cif", cif("D1 D 0 0 0 1", "Li1 Li .5 .5 .5 1"), r"\(D1\) holds deuterium: write H"),
        ("a.cif", cif("X1 X 0 0 0 1", "Li1 Li .5 .5 .5 1"), r"\(X1\) holds X, which is no element"),
        ("a.cif", cif("Cs1 Cs ? 0 0 1"), "no crystal can be read from it"),
        ("a.cif", cif("Cs1 Cs nan 0 0 1"), "no crystal can be read from it"),
        ("a.cif", GOOD[:-6], "no crystal can be read from it"),
        ("a.cif", cif(), "no crystal can be read from it"),
        ("a.cif", cif("Cs1 Cs 0 0 0 1", cell=""), "its CIF block has no cell"),
        ("a.cif", f"data_x\n{CELL}", "its CIF block has no atomic coordinates"),
        ("a.cif", "data_x\n_journal_year 1999\n", "it holds no crystal"),
        ("a.cif", "no cif", "not a CIF: it has no data_ block"),
        ("a.cif", "", "the file is empty"),
        ("a.cif", bytes(range(256)), "a binary file"),
        ("a.cif.gz", b"\x1f\x8bjunk", "damaged gzip data"),
        ("POSCAR", POSCAR.format(elements=""), "a POSCAR without element symbols"),
        ("POSCAR", "x\n1\n4 0 0\n", "no crystal can be read from it"),
        ("POSCAR", POSCAR.format(elements="Cs Cl\n").replace("0 4 0", "8 0 0"), "lie in a plane: it has no volume"),
        ("a.json", "{", "not JSON"),
        ("a.json", "{}", "lattice and sites are missing"),
        ("a.json", "[]", "it holds no crystal"),
        ("a.json", "[1, 2]", "2 crystals where one is expected"),
        ("a.xyz", "2\n\nH 0 0 0\nH 0 0 .7\n", "a molecule, not a crystal"),
        ("a.xyz", XYZ.replace("T T T", "T T F"), "not periodic in three directions"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=message) as error:
        read_prototype(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_missing_file_gets_the_nearest_name(tmp_path):
    (tmp_path / "perovskite.cif").write_text(GOOD)
    with pytest.raises(UserError, match=r"no file .*perovskit\.cif\. Did you mean .*perovskite\.cif\?"):
        read_prototype(tmp_path / "perovskit.cif")
    with pytest.raises(UserError, match="is a folder"):
        read_prototype(tmp_path)


def test_in_a_batch_the_bad_are_listed_and_the_rest_goes_on(tmp_path):
    contents = {"a.cif": GOOD, "b.cif": "junk", "c.cif": cif("D1 D 0 0 0 1"), "d.cif": GOOD}
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.cif").write_text(GOOD)
    paths = [tmp_path / name for name in (*contents, "missing.cif", "sub/a.cif")]
    prototypes, refused = read_prototypes(paths)
    assert [prototype.name for prototype in prototypes] == ["a", "d"]
    assert [one.name.removeprefix(f"{tmp_path}/") for one in refused] == [
        "b.cif",
        "c.cif",
        "missing.cif",
        "sub/a.cif",
    ]
    assert refused[-1].reason == f"the name a is taken by {tmp_path}/a.cif: give it another"


CUBE = Lattice.cubic(4)


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (Structure(CUBE, [], []), "it has no atoms"),
        (Structure(CUBE, [{"Li": 0.5}], [[0, 0, 0]]), r"Li0\.5: site 1 .*holds Li0.5: an ordered cell is needed"),
        (Structure(CUBE, [DummySpecies("X")], [[0, 0, 0]]), "site 1 holds X, which is no element"),
        (Structure(CUBE, [Species("D", 1)], [[0, 0, 0]]), "site 1 holds deuterium"),
        (Structure(CUBE, ["Li", "Na"], [[0, 0, 0], [0.1, 0, 0]]), "site 1, Li, and site 2, Na, overlap: 0.4 Å apart"),
        (Structure(Lattice.cubic(0.4), ["Li"], [[0, 0, 0]]), r"its atoms overlap: 0\.064 Å³ per atom"),
        (Structure(CUBE, ["Li"], [[np.nan, 0, 0]]), "not a finite number"),
        (Structure(Lattice.cubic(40), ["Li"] * 501, np.random.default_rng(0).random((501, 3))), "501 sites"),
        ("POSCAR", "a Structure with a lattice is expected, got a str"),
    ],
)
def test_a_crystal_that_is_no_prototype_is_refused(structure, message):
    with pytest.raises(UserError, match=message):
        prototype_from_structure(structure)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symprec": 0}, "symprec: a length between 0 and 1 Å is expected, got 0"),
        ({"symprec": -0.1}, r"got -0\.1"),
        ({"symprec": "0.1"}, r"got '0\.1'"),
        ({"roles": "orbit"}, 'roles: orbits or elements, got "orbit". Nearest: orbits'),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(UserError, match=message):
        prototype_from_structure(get_prototype("rock-salt").structure(["Na", "Cl"]), **options)
