from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.entries.computed_entries import ComputedEntry, ComputedStructureEntry

from matscout.errors import UserError
from matscout.workflows.enumeration import enumerate_candidates, make_filter
from matscout.workflows.enumeration.filters import known
from matscout.workflows.enumeration.filters.known import KnownCompounds
from matscout.workflows.stability.entries import read_entries

ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]])
CAESIUM_CHLORIDE = Structure.from_spacegroup("Pm-3m", Lattice.cubic(3.4), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def entry(structure):
    return ComputedStructureEntry(structure, -1.0)


@pytest.fixture
def salts():
    return enumerate_candidates("rock-salt", {"A": ["Na", "K"], "X": ["F", "Cl"]})


def test_a_known_composition_is_removed_kept_or_marked(salts):
    def formulas(keep):
        return salts.take(KnownCompounds(["Na2Cl2", ComputedEntry("KF", -1.0)], keep=keep)(salts).keep).formulas

    assert formulas("new") == ["NaF", "KCl"]
    assert formulas("known") == ["NaCl", "KF"]
    assert formulas("all") == salts.formulas
    marked = KnownCompounds(["Na2Cl2"], keep="all")(salts).columns["known"]
    assert marked.tolist() == [formula == "NaCl" for formula in salts.formulas]


def test_the_same_composition_is_another_compound_in_another_crystal(salts):
    same = KnownCompounds([entry(ROCK_SALT)], match="prototype")(salts)
    other = KnownCompounds([CAESIUM_CHLORIDE], match="prototype")(salts)
    assert salts.take(same.keep).formulas == ["NaF", "KF", "KCl"]
    assert other.keep.all()
    assert not KnownCompounds([CAESIUM_CHLORIDE])(salts).keep.all()


def test_volume_and_cell_do_not_matter(salts):
    larger = ROCK_SALT.get_primitive_structure()
    larger.scale_lattice(1.3 * larger.volume)
    larger.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    assert not KnownCompounds([larger], match="prototype")(salts).columns["known"][salts.formulas.index("NaF")]
    assert KnownCompounds([larger], match="prototype")(salts).columns["known"][salts.formulas.index("NaCl")]


def test_crystals_without_structure_are_unknown(salts):
    entries = ["NaCl", entry(CAESIUM_CHLORIDE)]
    kept = KnownCompounds(entries, match="prototype")(salts)
    dropped = KnownCompounds(entries, match="prototype", unknown="drop")(salts)
    assert (kept.keep.sum(), kept.unknown) == (4, 1)
    assert (dropped.keep.sum(), dropped.unknown) == (3, 1)
    assert KnownCompounds(["NaCl", entry(ROCK_SALT)], match="prototype")(salts).unknown == 0


@settings(max_examples=50)
@given(st.lists(st.tuples(*[st.sampled_from(["Li", "Fe", "Co", "O"])] * 4), min_size=1, max_size=30, unique=True))
def test_compositions_agree_with_those_of_pymatgen(table_of, rows):
    # elements repeat: Fe2FeFeFe6 is Fe, Li2FeFeO6 is LiFeO3
    entries = ["LiFeO3", "Fe", "O2", "CoO", "Li2FeCoO6", "Fe8O2", "Li6Co4", "Li2O2"]
    table = table_of("elpasolite", *rows)
    amounts = table.prototypes[0].reduced_multiplicity.tolist()
    wanted = {Composition(formula).reduced_formula for formula in entries}
    written = ["".join(f"{symbol}{n}" for symbol, n in zip(row, amounts, strict=True)) for row in rows]
    expected = [Composition(formula).reduced_formula in wanted for formula in written]
    assert KnownCompounds(entries)(table).columns["known"].tolist() == expected


def test_keys_that_collide_are_told_apart(salts, monkeypatch):
    monkeypatch.setattr(known, "_weights", lambda: np.ones(119, dtype=np.uint64))
    assert KnownCompounds(["NaCl"])(salts).columns["known"].sum() == 1


def test_entries_come_from_a_file(salts, tmp_path):
    plain, packed = tmp_path / "entries.json", tmp_path / "entries.json.gz"
    text = json.dumps([entry(ROCK_SALT).as_dict()])
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    for path in (plain, packed):
        rule = make_filter("known-compounds", file=str(path), match="prototype")
        assert salts.take(rule(salts).keep).formulas == ["NaF", "KF", "KCl"]


def test_the_entries_of_a_published_file_are_known(data):
    entries = read_entries(data / "entries" / "Fe_Li_O_P_entries.json.gz")
    table = enumerate_candidates(["rock-salt", "rutile", "cubic-perovskite"], ["Fe", "Li", "O", "P"])
    published = {one.composition.reduced_formula for one in entries}
    expected = [formula in published for formula in table.formulas]
    assert KnownCompounds(entries)(table).columns["known"].tolist() == expected
    assert 0 < sum(expected) < len(expected)
    result = KnownCompounds(entries, match="prototype", keep="known")(table)
    assert "FeO" in table.take(result.keep).formulas  # rock salt
    assert set(np.flatnonzero(result.keep)) < set(np.flatnonzero(expected))


def test_a_file_that_changed_is_read_again(salts, tmp_path):
    path = tmp_path / "entries.json"
    path.write_text(json.dumps([ComputedEntry("NaCl", -1.0).as_dict()]))
    assert KnownCompounds(file=path)(salts).keep.sum() == 3
    path.write_text(json.dumps([ComputedEntry(formula, -1.0).as_dict() for formula in ("NaCl", "KF")]))
    assert KnownCompounds(file=path)(salts).keep.sum() == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no file of entries"), (b"[", "JSON"), (b"\x1f\x8b0", "damaged or cut short"), (b"[3]", "entries")],
)
def test_a_file_that_cannot_be_read_is_one_sentence(content, message, tmp_path):
    path = tmp_path / "entries.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        KnownCompounds(file=path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "known-compounds needs either entries or a file"),
        ({"entries": [], "file": "x"}, "needs either entries or a file"),
        ({"entries": "NaCl"}, "entries must be a list of entries, structures or formulas, got 'NaCl'"),
        ({"entries": ["Nacl"]}, '"Nacl" is not a formula'),
        ({"entries": [""]}, '"" is not a formula'),
        ({"entries": [3]}, "3 is no entry, structure or formula"),
        ({"entries": ["NaCl"], "match": "crystal"}, 'match must be "composition" or "prototype", got \'crystal\''),
        ({"entries": ["NaCl"], "keep": "old"}, 'keep must be "new", "known" or "all", got \'old\''),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(UserError) as error:
        KnownCompounds(**options)
    assert message in str(error.value)
