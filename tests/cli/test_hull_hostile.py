"""`matscout hull` where things are odd: files that it would destroy, ties, narrow terminals, closed pipes."""

import json
import os
import re
import subprocess
import sys

import pytest
from pymatgen.core import Composition

from matscout.cli import hull_sources
from matscout.workflows.stability import Hull, read_entries

OXIDES = {"Fe": -8.4, "O2": -9.8, "FeO": -16.2, "Fe2O3": -40.0, "Fe3O4": -56.1}
LONG = {"Li": -1.9, "P": -5.4, "O2": -9.8, "Fe": -8.4, "Li4P2O7": -90.0, "Li3Fe2(PO4)3": -140.0, "Fe12P7O30": -290.0}


@pytest.fixture
def oxides(tmp_path, write_entries):
    return write_entries(tmp_path / "oxides.json", OXIDES)


@pytest.mark.parametrize("option", ["--plot", "--potentials"])
def test_a_plot_never_replaces_what_is_read(refused, salt, tmp_path, option):
    (tmp_path / "link.json").symlink_to(salt)
    (tmp_path / "hard.json").hardlink_to(salt)
    before = salt.read_bytes()
    for name in ("salt.json", "./salt.json", "link.json", "hard.json"):
        assert f"{option} " in refused("Na-Cl", "--entries", "salt.json", option, name)
    assert "would overwrite salt.json" in refused("Na-Cl", "--entries", "salt.json", option, "salt.json")
    assert salt.read_bytes() == before


def test_a_plot_never_replaces_the_files_of_a_scheme(refused, salt, oxides):
    for name in ("oxides.json", "enthalpies.json"):
        options = ["--scheme", "fitted-references:oxides.json:enthalpies.json", "--plot", name]
        assert f"--plot {name} would overwrite {name}" in refused("Na-Cl", "--entries", salt, *options)


def test_a_plot_never_replaces_the_campaign_file(refused, tmp_path):
    (tmp_path / "mine.yaml").write_text("space: {}\n")
    (tmp_path / "mine.json").symlink_to(tmp_path / "mine.yaml")
    assert "would overwrite" in refused("Na-Cl", "--plot", "mine.json")
    assert "would overwrite" in refused("Na-Cl", "--campaign", "mine.yaml", "--plot", "mine.json")


def test_a_plot_never_replaces_the_reference_file_of_a_campaign(refused, salt, tmp_path, monkeypatch):
    references = tmp_path / "references.json"
    references.write_text("{}")
    loaded = hull_sources.Loaded(Hull.from_entries(read_entries(salt)), "campaign mine", files=(references,))
    monkeypatch.setattr(hull_sources, "hull_of_store", lambda *_: loaded)
    assert "would overwrite" in refused("Na-Cl", "--plot", "references.json")
    assert references.read_text() == "{}"


def test_two_plots_are_two_files(refused, salt, tmp_path):
    assert "name two files" in refused("Na-Cl", "--entries", salt, "--plot", "a.html", "--potentials", "./a.html")
    assert not (tmp_path / "a.html").exists()


def test_a_phase_that_ties_coexists_with_what_its_twin_does(hull, iron_oxides):
    sets = [
        json.loads(hull("Li-Fe-O", "--entries", iron_oxides, "--phase", name, "--json")[0])["phase"]["coexists_with"]
        for name in ("Li2O", "Li2O#2")
    ]
    formulas = [sorted(sorted({phase["formula"] for phase in one["phases"]}) for one in each) for each in sets]
    assert formulas[0] == formulas[1] == [["Fe", "Li"], ["Fe", "Li5FeO4"], ["Li2O2", "Li5FeO4"]]
    table, _ = hull("Li-Fe-O", "--entries", iron_oxides, "--phase", "Li2O#2")
    assert "it coexists with 3 sets of phases" in table


def test_ties_are_counted_once(hull, iron_oxides, tmp_path, write_entries):
    out, _ = hull("Li-Fe-O", "--entries", iron_oxides)
    assert out.startswith("hull of 492 entries in Li-Fe-O: 11 stable (+1 of equal energy); version ")
    about = json.loads(hull("Li-Fe-O", "--entries", iron_oxides, "--json")[0])["hull"]
    assert (about["stable"], about["of_equal_energy"]) == (11, 1)
    opened, _ = hull("Li-Fe-O", "--entries", iron_oxides, "--open", "Fe", "--delta-mu", "-1")
    assert re.search(r"relative to the element: \d+ stable \(\+1 of equal energy\) of \d+ entries", opened)
    compared, _ = hull("Li-Fe-O", "--entries", iron_oxides, "--compare", "none")
    assert compared.count(": 11 stable (+1 of equal energy)") == 2


def test_competitors_are_compositions(hull, iron_oxides):
    out, _ = hull("Li-Fe-O", "--entries", iron_oxides)
    about = json.loads(hull("Li-Fe-O", "--entries", iron_oxides, "--json", "--all")[0])
    distinct = {(row["chemical_system"], row["formula"]) for row in about["rows"]}
    sizes = [sum(system.count("-") == n for system, _ in distinct) for n in range(3)]
    assert f"judged against {sizes[0]} elements, {sizes[1]} binaries and {sizes[2]} ternaries" in out.splitlines()
    assert about["hull"]["competing_compositions"] == {str(n + 1): count for n, count in enumerate(sizes)}
    assert sum(about["hull"]["competitors"].values()) == 492


@pytest.mark.parametrize("formula", ["Fe0.9471O", "Fe0.97O", "Fe0.123456O0.3", "Fe3O4", "Fe0.31415926O"])
def test_reactions_balance(hull, oxides, formula):
    out, _ = hull("Fe-O", "--entries", oxides, "--decompose", formula)
    (reaction,) = (line for line in out.splitlines() if " -> " in line)
    sides = []
    for side in reaction.split(" -> "):
        terms = [term.split(" ") for term in side.split(" + ")]
        sides.append(sum((Composition(t[-1]) * (float(t[0]) if t[1:] else 1.0) for t in terms), Composition()))
    for symbol in ("Fe", "O"):
        assert sides[0][symbol] == pytest.approx(sides[1][symbol], rel=1e-5)
    assert sides[0].get_atomic_fraction("Fe") == pytest.approx(Composition(formula).get_atomic_fraction("Fe"), abs=1e-6)


def test_a_composition_of_decimals_is_shown_as_it_was_given(hull, oxides):
    assert (
        "\nFe0.9471O -> 0.8413 FeO + 0.0529 Fe2O3\n" in hull("Fe-O", "--entries", oxides, "--decompose", "Fe0.9471O")[0]
    )


def test_an_entry_decomposes_by_its_id(hull, oxides):
    out, _ = hull("Fe-O", "--entries", oxides, "--decompose", "id-Fe3O4")
    assert "\nFe3O4 -> Fe2O3 + FeO\n" in out
    assert re.search(r"relative to the elements, id-Fe3O4 0\.014 eV/atom above it", out)
    found = json.loads(hull("Fe-O", "--entries", oxides, "--decompose", "id-Fe3O4", "--json")[0])["decomposition"]
    assert (found["id"], found["e_above_hull"]) == ("id-Fe3O4", pytest.approx(0.1 / 7))
    assert "FeO is stable: id-FeO" in hull("Fe-O", "--entries", oxides, "--decompose", "id-FeO")[0]


@pytest.mark.parametrize("system", ["Na_Cl", "Na,Cl", "Na, Cl", "Na\u2013Cl", "Na\u2212Cl", " Na Cl "])
def test_elements_are_told_apart_however_they_are_joined(hull, salt, system):
    assert hull(system, "--entries", salt) == hull("Na-Cl", "--entries", salt)


def test_a_hull_open_to_two_elements_agrees_with_pymatgen(hull, iron_oxides, diagram):
    from pymatgen.analysis.phase_diagram import GrandPotentialPhaseDiagram
    from pymatgen.core import Element

    relative = {"O": -2.0, "Li": -1.5}
    absolute = {
        Element(symbol): diagram.el_refs[Element(symbol)].energy_per_atom + mu for symbol, mu in relative.items()
    }
    expected = GrandPotentialPhaseDiagram(diagram.all_entries, absolute)
    options = [text for symbol, mu in relative.items() for text in ("--open", symbol, "--delta-mu", mu)]
    document = json.loads(hull("Li-Fe-O", "--entries", iron_oxides, *options, "--json")[0])
    stable = {row["formula"] for row in document["rows"] if row["e_above_hull"] == 0}
    assert stable == {entry.original_entry.reduced_formula for entry in expected.stable_entries}
    assert document["hull"]["open"]["relative_to_the_elements"] == pytest.approx(relative)
    table, _ = hull("Li-Fe-O", "--entries", iron_oxides, *options)
    assert re.search(r"open to O at \S+ eV/atom, -2\.000 relative to the element and Li at \S+ eV/atom, -1\.500", table)


@pytest.mark.parametrize("width", [100, 80, 60, 40, 20])
def test_a_narrow_terminal_costs_columns_and_no_digits(hull, tmp_path, write_entries, monkeypatch, width):
    path = write_entries(tmp_path / "e.json", LONG)
    rows = json.loads(hull("Li-Fe-P-O", "--entries", path, "--all", "--json")[0])["rows"]
    # As on a terminal of this width, without its colours.
    for name, value in {"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": str(width), "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    out = re.sub(r"\x1b\[[0-9;]*m", "", hull("Li-Fe-P-O", "--entries", path, "--all")[0])
    table = out[out.index("energies in eV/atom") :]
    assert "\u2026" not in table
    for row in rows:
        cells = [row["formula"], row["id"], f"{row['e_above_hull']:.3f}"]
        below = row["decomposition_energy"]
        signed = f"{below:+.3f}" if below else "0.000"
        cells += [signed, f"{row['formation_energy']:.3f}"] if width >= 80 else []
        assert re.search("^" + " +".join(map(re.escape, cells)) + r"\b", table, re.MULTILINE), table
    if width > 40:
        assert max(len(line) for line in table.splitlines() if " id-" in line) <= width
    left_out = {100: "", 80: "", 60: "formation", 40: "formation, decomp., decomposes to"}.get(width)
    assert left_out is None or (f"too narrow for {left_out}" in table) == bool(left_out)


def test_products_stand_without_the_entry_unless_it_is_counted(hull, oxides):
    out, _ = hull("Fe-O", "--entries", oxides, "--all")
    assert re.search(r"^Fe3O4 +id-Fe3O4 .* Fe2O3 \+ FeO *$", out, re.MULTILINE)
    assert "->" not in out
    opened, _ = hull("Fe-O", "--entries", oxides, "--open", "O", "--delta-mu", "-1", "--all")
    assert re.search(r"^Fe3O4 .* 4 Fe3O4 \+ O2 -> 6 Fe2O3 *$", opened, re.MULTILINE)


@pytest.mark.parametrize(
    "arguments", [["hull", "Fe-O", "--entries", "oxides.json", "--all"], ["prototypes"], ["prototypes", "--json"]]
)
def test_a_reader_who_has_seen_enough_is_no_failure(oxides, arguments):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "matscout", *arguments]
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, cwd=oxides.parent, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")
