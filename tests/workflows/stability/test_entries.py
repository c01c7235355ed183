from __future__ import annotations

import gzip
import json

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import (
    CompositionEnergyAdjustment,
    ComputedEntry,
    ComputedStructureEntry,
    TemperatureEnergyAdjustment,
)

from matscout.errors import UserError
from matscout.workflows.stability import missing_elements, read_entries, restrict

SALT = Structure(Lattice.cubic(3.4), ["Na+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def salt_entries():
    adjustments = [
        CompositionEnergyAdjustment(-0.614, 1, name="MP2020 anion correction (Cl)"),
        TemperatureEnergyAdjustment(-1e-4, 300, 2, name="free energy"),
    ]
    return [
        ComputedStructureEntry(SALT, -7.0, energy_adjustments=adjustments, entry_id="mp-1", data={"a": [1, {"b": 2}]}),
        ComputedEntry("Na", -1.3, correction=-0.1, entry_id="mp-2", parameters={"run_type": "GGA"}),
        ComputedEntry("Cl2", -3.6, entry_id="mp-3"),
    ]


def as_json(entries):
    return json.dumps([entry.as_dict() for entry in entries])


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("pack", [str.encode, lambda text: gzip.compress(text.encode(), mtime=0)])
@pytest.mark.parametrize("wrap", ["{}", '{{"entries": {}}}'])
def test_reads_what_pymatgen_wrote_whatever_the_name(tmp_path, pack, wrap):
    read = read_entries(write(tmp_path / "entries.dat", pack(wrap.format(as_json(salt_entries())))))
    assert read == salt_entries()
    assert [entry.energy for entry in read] == pytest.approx([-7 - 0.614 - 0.06, -1.4, -3.6])
    assert read[0].structure == SALT
    assert read[0].data == {"a": [1, {"b": 2}]}
    assert read[1].parameters == {"run_type": "GGA"}


def test_reads_the_real_entries_as_pymatgen_does(data, iron_phosphates):
    documents = json.loads(gzip.decompress((data / "entries" / "Fe_Li_O_P_entries.json.gz").read_bytes()))
    assert len(iron_phosphates) == 943
    for entry, document in list(zip(iron_phosphates, documents, strict=True))[::100]:
        reference = ComputedStructureEntry.from_dict(document)
        assert entry == reference
        assert entry.structure == reference.structure
        assert entry.correction == pytest.approx(document["correction"], abs=1e-9)
        assert (entry.parameters, entry.data) == (reference.parameters, reference.data)


def test_reads_a_mapping_of_names_to_entries(data):
    assert len(read_entries(data / "entries" / "calc_compounds_norm.json.gz")) == 274  # and five twice


def test_every_entry_gets_an_id_of_its_own(tmp_path):
    entries = [ComputedEntry("NaCl", energy, entry_id=name) for energy, name in
               [(-6, "mp-1"), (-6, "mp-1"), (-4, None), (-4.5, None), (-3, "mp-1#2"), (-2, 7)]]  # fmt: skip
    read = read_entries(write(tmp_path / "e.json", as_json(entries)))
    assert [entry.entry_id for entry in read] == ["mp-1", "NaCl#2", "NaCl", "mp-1#2", "7"]


def test_an_id_that_stands_for_two_entries_is_refused(tmp_path):
    energies = [ComputedEntry("NaCl", -6, entry_id="mp-1"), ComputedEntry("NaCl", -5, entry_id="mp-1")]
    with pytest.raises(UserError, match=r"e.json: one id .* mp-1 \(-3 and -2.5 eV/atom\); give each"):
        read_entries(write(tmp_path / "e.json", as_json(energies)))
    compositions = [ComputedEntry("NaCl", -6, entry_id="mp-1"), ComputedEntry("Na", -6, entry_id="mp-1")]
    with pytest.raises(UserError, match=r"mp-1 \(Na1 Cl1 and Na1\)"):
        read_entries(write(tmp_path / "e.json", as_json(compositions)))


def test_rows_of_a_table_may_share_a_formula_but_no_other_name(tmp_path):
    rows = "Name,Li,O,Energy\nLi2O,4,2,-28\nLi2O,8,4,-55\nmp-3,0,2,-9\n"
    assert [e.entry_id for e in read_entries(write(tmp_path / "e.csv", rows))] == ["Li2O", "Li2O#2", "mp-3"]
    with pytest.raises(UserError, match=r"mp-3 \(-4.5 and -4.9 eV/atom\)"):
        read_entries(write(tmp_path / "e.csv", rows + "mp-3,0,1,-4.9\n"))


def test_what_is_no_composition_is_named_with_file_and_id(tmp_path):
    text = '[{"composition": {"Na": 2}, "energy": -1}, {"composition": {}, "energy": -1, "entry_id": "mp-7"}]'
    with pytest.raises(UserError, match=r"the composition of entry 1 \(mp-7\) of .*e.json is empty"):
        read_entries(write(tmp_path / "e.json", text))


def test_bare_compositions_and_energies_are_entries(tmp_path):
    (entry,) = read_entries(write(tmp_path / "e.json", '[{"composition": {"Na": 2, "Cl": 2}, "energy": -14.2}]'))
    assert (entry.entry_id, entry.energy_per_atom) == ("NaCl", -3.55)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no file of entries"),
        ("not json", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (gzip.compress(b"[" + b"1, " * 999 + b"1]", mtime=0)[:40], "damaged or cut short"),
        (gzip.compress(b"[]", mtime=0)[:-6] + b"rubbis", "damaged or cut short"),
        ("[]", "holds no entries but a list of 0"),
        ("3", "holds no entries but '3'"),
        ('{"a": 1, "b": 2}', "holds no entries but a mapping with a, b"),
        ('[{"formula": "NaCl", "uncertainty": 0}]', "a list of 1, the first a mapping with formula, uncertainty"),
        ('[{"composition": {"Na": 1}}]', r"entry 0 has no energy: None"),
        ('[{"composition": {"Na": 1}, "energy": NaN, "entry_id": "mp-9"}]', r"entry 0 \(mp-9\) has no energy: nan"),
        ('[{"composition": {"Na": 1}, "energy": -1}, 5]', "1 of 2 are not entries, the first '5'"),
        ('[{"composition": {"Q": 1}, "energy": -1, "structure": {}}]', "entry 0 cannot be read: KeyError"),
    ],
)
def test_a_file_that_is_no_file_of_entries_says_so(tmp_path, content, words):
    path = tmp_path / "e.json"
    if content is not None:
        write(path, content)
    with pytest.raises(UserError, match=words):
        read_entries(path)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        read_entries(tmp_path)


def test_reads_a_table_of_entries_as_pymatgen_does(data, tmp_path):
    from pymatgen.analysis.compatibility.entry_tools import EntrySet

    path = data / "entries" / "pd_entries_test.csv"
    read = read_entries(path)
    # EntrySet is a set: it drops what stands twice in the file.
    expected = {(entry.composition.formula, entry.energy) for entry in EntrySet.from_csv(str(path))}
    assert {(entry.composition.formula, entry.energy) for entry in read} == expected
    assert len({entry.entry_id for entry in read}) == len(read) == 492
    packed = write(tmp_path / "e.csv.gz", gzip.compress(path.read_bytes()))
    assert read_entries(packed) == read


def test_reads_the_table_that_pymatgen_writes(tmp_path):
    from pymatgen.analysis.compatibility.entry_tools import EntrySet

    entries = [ComputedEntry("Na2O", -11.3), *salt_entries()[1:]]
    EntrySet(entries).to_csv(str(tmp_path / "e.csv"))
    read = {entry.reduced_formula: entry.energy for entry in read_entries(tmp_path / "e.csv")}
    assert read == {entry.reduced_formula: entry.energy for entry in entries}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has the columns of an empty file; expected those of pymatgen: Name"),
        ("formula,target\nNaCl,-3\n", "has the columns formula, target; expected"),
        ("Name,Na,Q,Energy\n", "has the columns Name, Na, Q, Energy; expected"),
        ("Name,Na,Cl\nNaCl,1,1\n", "has the columns Name, Na, Cl; expected"),
        ("Name,Na,Cl,Energy\n", "holds no entries below its first line"),
        ("Na,Cl,Energy\n1,1,-7\n", "has no column of names but Na as the first; expected"),
        ("Name,Na,Energy per atom\n", "'Energy per atom' as its energies; expected .*eV per cell"),
        ("Name,Na,formation_energy (eV)\n", "as its energies"),
        ("Name,Na,Energy (Ry)\n", "as its energies"),
        ("Name,Na,Energy (kJ/mol)\n", "as its energies"),
        ("Name,Na,Cl,Energy\nNaCl,1,1\n", "line 2 has 3 columns; expected 4"),
        ("Name,Na,Cl,Energy\nNa,1,0,-1\nNaCl,1,one,-7\n", r"line 3 \(NaCl\) cannot be read: .*'one'"),
        ("Name,Na,Cl,Energy\nNaCl,1,1,nan\n", r"line 2 \(NaCl\) has no energy: nan"),
        ("Name,Na,Cl,Energy\nNaCl,1,-1,-7\n", r"line 2 \(NaCl\) has no composition: 1, -1"),
        ("Name,Na,Cl,Energy\nNaCl,0,,-7\n", r"line 2 \(NaCl\) has no composition"),
        (b"Name,Na\xff,Energy\n", "is not a table of entries"),
    ],
)
def test_a_table_that_is_no_table_of_entries_says_so(tmp_path, content, words):
    with pytest.raises(UserError, match=words):
        read_entries(write(tmp_path / "e.csv", content))


HOSTILE = (
    {"@module": "subprocess", "@class": "Popen", "args": ["touch", "HERE"]},
    {"@module": "os", "@callable": "system", "@bound": None},
    {"@module": "pymatgen.core.structure", "@class": "Structure", "@callable": "from_file"},
    {"@module": ["os"], "@class": {"a": 1}},
)


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("place", ["data", "parameters"])
def test_no_other_class_is_made_of_what_a_file_says(tmp_path, monkeypatch, hostile, place):
    monkeypatch.chdir(tmp_path)
    document = ComputedEntry("NaCl", -7, entry_id="mp-1").as_dict()
    document[place] = {"deep": [{"er": hostile}]}
    (entry,) = read_entries(write(tmp_path / "e.json", json.dumps([document])))
    read = getattr(entry, place)["deep"][0]["er"]
    assert type(read) is dict
    assert not any(key.startswith("@") for key in read)
    assert not (tmp_path / "HERE").exists()
    assert ComputedEntry.from_dict(entry.as_dict()) == entry  # and not when the entry is written and read again


@pytest.mark.parametrize("hostile", HOSTILE[:2])
def test_a_hostile_class_in_the_place_of_an_entry_is_refused(tmp_path, hostile):
    with pytest.raises(UserError, match=r"holds no entries but a list of 1, the first a (subprocess\.Popen|os)"):
        read_entries(write(tmp_path / "e.json", json.dumps([hostile])))
    document = ComputedEntry("NaCl", -7).as_dict() | {"energy_adjustments": [hostile]}
    with pytest.raises(UserError, match="unknown energy adjustment"):
        read_entries(write(tmp_path / "f.json", json.dumps([document])))


def test_missing_elements_are_those_without_a_pure_entry():
    assert missing_elements(salt_entries(), ["Na", "K", "Cl", "Br"]) == ["Br", "K"]
    assert missing_elements([], ["Na"]) == ["Na"]


def test_restricting_keeps_the_entries_within_the_elements():
    assert [entry.entry_id for entry in restrict(salt_entries(), ["Na", "K"])] == ["mp-2"]
    assert [entry.entry_id for entry in restrict(salt_entries(), {"Na", "Cl"})] == ["mp-1", "mp-2", "mp-3"]
