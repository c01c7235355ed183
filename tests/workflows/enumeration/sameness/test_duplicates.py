from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import ElementComparator, StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from matscout.crystals.protostructure import protostructure_labels
from matscout.db.candidates import CandidateTable
from matscout.errors import UserError
from matscout.workflows.enumeration import enumerate_candidates, prototype_library
from matscout.workflows.enumeration.sameness import _rows
from matscout.workflows.enumeration.sameness.duplicates import find_duplicates, split_groups

LIBRARY = prototype_library()
HALITE = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3])


def rutile(x, a=4.6, c=2.96, metal="Ti"):
    return Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(a, c), [metal, "O"], [[0, 0, 0], [x, x, 0]])


def same_partition(first, second):
    return len(set(zip(first, second, strict=True))) == len(set(first)) == len(set(second))


@pytest.fixture(scope="module")
def entries(data):
    with gzip.open(data / "entries" / "Fe_Li_O_P_entries.json.gz") as file:
        documents = json.load(file)
    return [ComputedStructureEntry.from_dict(document) for document in documents]


def test_sources_may_be_mixed():
    table = enumerate_candidates("rock-salt", {"A": ["Na", "K"], "X": ["Cl"]})
    sodium = table.formulas.index("NaCl")
    entry = ComputedStructureEntry(HALITE.get_primitive_structure(), -6.0, entry_id="mp-22862")
    found = find_duplicates([HALITE, table, entry, ("by hand", HALITE * (2, 1, 1))])
    assert found.groups.tolist() == [0, *(0 if row == sodium else 1 for row in range(2)), 0, 0]
    (group,) = found.repeated
    assert group.rows == (0, 1 + sodium, 3, 4)
    assert group.names == ("row 0", table.ids[sodium], "mp-22862", "by hand")
    assert found.is_first.tolist() == [True, *(row != sodium for row in range(2)), False, False]
    assert found.sizes.tolist() == [4, 1]


def test_one_label_is_not_yet_one_crystal():
    near, far = rutile(0.31), rutile(0.14)
    found = find_duplicates([rutile(0.305), near, far])
    assert len(set(found.labels.tolist())) == 1
    assert found.groups.tolist() == [0, 0, 1]


def test_volumes_count_on_request():
    larger = HALITE.copy()
    larger.scale_lattice(1.9 * HALITE.volume)
    assert find_duplicates([HALITE, larger]).groups.tolist() == [0, 0]
    assert find_duplicates([HALITE, larger], scale=False).groups.tolist() == [0, 1]


def test_tolerances_count():
    pair = [rutile(0.305), rutile(0.34)]
    assert find_duplicates(pair).groups.tolist() == [0, 0]
    assert find_duplicates(pair, stol=0.02).groups.tolist() == [0, 1]


def test_candidates_agree_with_their_crystals():
    prototypes = ["rock-salt", "AB_cP2_221_b_a", "AB_hP4_186_b_b", "AB_cF8_216_c_a", "AB_hP4_194_c_a"]
    table = enumerate_candidates(prototypes, ["Na", "Cl", "Mg"])
    twice = CandidateTable(
        table.prototypes,
        np.tile(table.prototype_index, 2),
        np.tile(table.decoration, (2, 1)),
        np.concatenate([table.volume, 1.1 * table.volume]),
    )
    as_table = find_duplicates(twice)
    as_crystals = find_duplicates(twice.structures(np.arange(len(twice))))
    assert as_table.groups.tolist() == as_crystals.groups.tolist()
    assert as_table.groups.tolist() == 2 * list(range(len(table)))


@settings(max_examples=4)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_items_does_not_matter(random):
    items = [*map(rutile, (0.29, 0.31, 0.14)), rutile(0.3, metal="Sn"), HALITE, rutile(0.3) * (1, 1, 2)]
    order = list(range(len(items)))
    random.shuffle(order)
    groups = find_duplicates([items[place] for place in order]).groups
    expected = find_duplicates(items).groups
    assert same_partition(expected[order].tolist(), groups.tolist())


def test_entries_of_one_system_are_grouped_as_by_structure_matcher(entries):
    # of the real entries those of few atoms, each with a copy in another setting; StructureMatcher knows no symmetry,
    # so that it may join what labels part, and never the other way round
    few = [entry for entry in entries if len(entry.structure) <= 12][:40]
    copies = [entry.structure * (1, 1, 2) for entry in few]
    found = find_duplicates([*few, *copies])
    assert not found.refused
    assert found.groups[: len(few)].tolist() == found.groups[len(few) :].tolist()
    theirs = StructureMatcher(comparator=ElementComparator()).group_structures([entry.structure for entry in few])
    of_structure = {id(structure): number for number, group in enumerate(theirs) for structure in group}
    pairs = {
        (group, of_structure[id(entry.structure)])
        for group, entry in zip(found.groups[: len(few)].tolist(), few, strict=True)
    }
    assert len(pairs) == len(set(found.groups.tolist()))


def test_a_bad_item_is_refused_and_the_others_go_on():
    half = Structure(Lattice.cubic(4), [{"Na": 0.5}], [[0, 0, 0]])
    found = find_duplicates([half, HALITE, ("again", HALITE), half])
    assert found.groups.tolist() == [-1, 0, 0, -1]
    assert [row for row, _ in found.refused] == [0, 3]
    assert [group.rows for group in found.repeated] == [(1, 2)]


def test_what_a_label_has_no_letters_for_is_refused():
    many = Structure(Lattice.cubic(20), list(range(1, 28)), np.arange(27)[:, None] * [1 / 27, 0, 0])
    found = find_duplicates([many, HALITE])
    assert found.groups.tolist() == [-1, 0]
    assert "27 elements in one crystal" in found.refused[0].reason


def test_labels_are_there_for_those_that_needed_none(monkeypatch):
    items = [rutile(0.3), HALITE, rutile(0.3, metal="Sn"), HALITE * (2, 1, 1)]
    labelled = []
    its_own = _rows.label_of
    monkeypatch.setattr(_rows, "label_of", lambda *given: labelled.append(given[0].formula) or its_own(*given))
    found = find_duplicates(items)
    assert found.groups.tolist() == [0, 1, 2, 1]
    assert labelled == ["Na4 Cl4", "Na8 Cl8"]
    assert found.labels.tolist() == protostructure_labels(items)[0].tolist()


def test_nothing_has_no_duplicates():
    found = find_duplicates([])
    assert found.groups.shape == found.representatives.shape == (0,)
    assert found.repeated == []


def test_what_is_no_crystal_is_named():
    with pytest.raises(UserError, match="item 1 is a str"):
        find_duplicates([HALITE, "NaCl"])


def test_split_groups_keep_together_what_must_stay_so():
    table = enumerate_candidates(["rock-salt", "AB_cP2_221_b_a"], {"A": ["Na", "K"], "B": ["Cl"], "X": ["Cl"]})
    crystals = table.structures(np.arange(len(table)))
    for source in (table, crystals):
        by = {name: split_groups(source, name).tolist() for name in ("label", "composition", "prototype")}
        assert by == {"label": [0, 1, 2, 3], "composition": [0, 1, 0, 1], "prototype": [0, 0, 1, 1]}
        assert split_groups(source, "chemical-system").tolist() == [0, 1, 0, 1]


def test_duplicates_land_in_one_group_of_every_split():
    items = [rutile(0.3), HALITE, rutile(0.14), HALITE.get_primitive_structure(), rutile(0.31) * (2, 1, 1)]
    groups = find_duplicates(items).groups
    for by in ("label", "composition", "prototype", "chemical-system"):
        split = split_groups(items, by)
        assert len(set(zip(groups.tolist(), split.tolist(), strict=True))) == len(set(groups.tolist()))


def test_an_unknown_way_to_split_is_named_with_the_nearest():
    with pytest.raises(UserError, match=r'not by "chemical_system"\. Nearest: chemical-system'):
        split_groups([HALITE], "chemical_system")


def test_a_split_of_rows_without_label_names_the_first():
    half = Structure(Lattice.cubic(4), [{"Na": 0.5}], [[0, 0, 0]])
    with pytest.raises(UserError, match=r"1 rows have no label; leave them out first. Row 1: Na0.5"):
        split_groups([HALITE, half])
