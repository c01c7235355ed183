"""`matscout hull`, as a user types it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pymatgen.core import Composition, Element
from pymatgen.entries.computed_entries import ComputedEntry, ComputedStructureEntry

from matscout.workflows.stability import Hull, read_entries

SALT = {"Na": -1.3, "Cl2": -3.6, "NaCl": -7.2, "Na3Cl": -7.6}
"""Energies in eV per formula unit, those of the fixture `salt`."""


def test_the_table_says_which_hull_it_is_and_what_is_stable(hull, salt):
    out, err = hull("Na-Cl", "--entries", salt)
    lines = out.splitlines()
    assert lines[0] == f"hull of 4 entries in Na-Cl: 3 stable; version {Hull.from_entries(read_entries(salt)).version}"
    assert "protocol not stated; correction scheme none" in lines
    assert "judged against 2 elements and 2 binaries" in lines
    assert re.search(r"NaCl +id-NaCl +0\.000 +-1\.\d+ +-2\.050 +stable", out)
    assert "energies in eV/atom" in lines
    assert lines[-1] == "not shown: 1 farther than 0.025 eV/atom; --all shows them"
    assert err == ""


def test_all_and_a_window_show_more(hull, salt):
    row = r"Na3Cl +id-Na3Cl +0\.550 +\+0\.550 +-0\.475 +2 Na \+ NaCl"
    for options in (["--all"], ["--window", "0.6"]):
        out, _ = hull("Na-Cl", "--entries", salt, *options)
        assert re.search(row, out)
        assert "not shown" not in out
    assert "Na3Cl" not in hull("Na-Cl", "--entries", salt, "--window", "0.5")[0]


def test_all_numbers_agree_with_pymatgen(hull, iron_oxides, diagram):
    document = json.loads(hull("Li-Fe-O", "--entries", iron_oxides, "--all", "--json")[0])
    assert len(document["rows"]) == document["hull"]["entries"] == len(diagram.all_entries)
    assert document["more"] == 0
    expected = {entry.entry_id: entry for entry in diagram.all_entries}
    for row in document["rows"]:
        entry = expected[row["id"]]
        assert row["e_above_hull"] == pytest.approx(diagram.get_e_above_hull(entry), abs=1e-8)
        assert row["formation_energy"] == pytest.approx(diagram.get_form_energy_per_atom(entry), abs=1e-8)
    stable = {row["formula"] for row in document["rows"] if row["e_above_hull"] == 0}
    assert stable == {entry.reduced_formula for entry in diagram.stable_entries}


def test_a_higher_phase_of_a_composition_is_counted_and_not_shown(hull, iron_oxides):
    out, _ = hull("Li-Fe-O", "--entries", iron_oxides)
    listed = [line.split()[0] for line in out.splitlines() if re.search(r" 0\.0[0-9]{2} ", line)]
    assert len([formula for formula in listed if formula != "Li2O"]) == len(set(listed)) - 1 > 5
    (higher,) = re.findall(r"not shown: (\d+) higher phases of these compositions and \d+ farther", out)
    assert int(higher) > 5


def test_a_window_and_json_list_the_higher_phases_too(hull, iron_oxides, diagram):
    near = {entry.entry_id for entry in diagram.all_entries if diagram.get_e_above_hull(entry) <= 0.05 + 1e-9}
    document = json.loads(hull("Li-Fe-O", "--entries", iron_oxides, "--window", "0.05", "--json")[0])
    assert {row["id"] for row in document["rows"]} == near
    table, _ = hull("Li-Fe-O", "--entries", iron_oxides, "--window", "0.05")
    assert all(re.search(rf"^\S+ +{re.escape(name)} ", table, re.MULTILINE) for name in near)
    assert "higher phase" not in table
    of_default = json.loads(hull("Li-Fe-O", "--entries", iron_oxides, "--json")[0])["rows"]
    assert len(of_default) > len({row["formula"] for row in of_default})


def test_json_says_what_made_the_labels(hull, salt):
    about = json.loads(hull("Na-Cl", "--entries", salt, "--json")[0])["hull"]
    assert (about["protocols"], about["scheme"], about["scheme_version"]) == (
        ["not stated"],
        "none",
        "energies unchanged",
    )
    assert {"matscout", "pymatgen", "numpy", "scipy"} <= about["versions"].keys()
    assert about["competing_systems"] == {"Cl": 1, "Na": 1, "Cl-Na": 2}
    assert about["competitor_sources"] == {"salt.json": 4}
    assert about["entries_of_version"] == about["entries"] == 4


def test_elements_and_binaries_alone_are_called_so(hull, tmp_path, write_entries):
    path = write_entries(tmp_path / "e.json", SALT | {"K": -1.0})
    assert "judged against 3 elements and 2 binaries alone, no ternaries" in hull("Na-K-Cl", "--entries", path)[0]


def test_entries_of_other_elements_are_ignored(hull, salt, tmp_path, write_entries):
    more = write_entries(tmp_path / "more.json", SALT | {"K": -1.0, "KCl": -7.5, "Fe": -8.0, "FeCl2": -15.0})
    documents = [json.loads(hull("Na-Cl", "--entries", path, "--json")[0]) for path in (salt, more)]
    assert documents[0]["rows"] == [row | {"source": "salt.json"} for row in documents[1]["rows"]]
    assert documents[0]["hull"]["version"] == documents[1]["hull"]["version"]


def test_one_element_lists_its_polymorphs(hull, iron_oxides):
    out, _ = hull("Fe", "--entries", iron_oxides)
    assert out.splitlines()[0].startswith("hull of 8 entries in Fe: 1 stable")
    assert len(re.findall(r"^Fe ", out, re.MULTILINE)) == 8
    assert out.count("Fe (Fe#7)") == 7  # what the others turn into


def test_a_composition_decomposes_by_a_balanced_reaction(hull, salt):
    out, _ = hull("Na-Cl", "--entries", salt, "--decompose", "Na5Cl2")
    assert "Na5Cl2 -> 2 NaCl + 3 Na" in out.splitlines()
    found = json.loads(hull("Na-Cl", "--entries", salt, "--decompose", "Na5Cl2", "--json")[0])["decomposition"]
    assert {phase["id"]: phase["amount"] for phase in found["phases"]} == {"id-Na": 3, "id-NaCl": 2}
    assert sum(phase["atomic_fraction"] for phase in found["phases"]) == pytest.approx(1)
    assert found["formation_energy"] == pytest.approx(-2.05 * 4 / 7)
    assert "NaCl is stable: id-NaCl" in hull("Na-Cl", "--entries", salt, "--decompose", "Na2Cl2")[0]


@pytest.mark.parametrize("element", ["Li", "Fe", "O"])
def test_the_chemical_potentials_of_a_phase_agree_with_pymatgen(hull, iron_oxides, diagram, element):
    expected = diagram.get_chempot_range_stability_phase(Composition("LiFeO2"), Element(element))
    low, high = (
        potential - diagram.el_refs[Element(element)].energy_per_atom for potential in expected[Element(element)]
    )
    found = json.loads(hull("Li-Fe-O", "--entries", iron_oxides, "--phase", "LiFeO2", "--json")[0])["phase"]
    assert found["chemical_potentials"][element]["low"] == pytest.approx(low, abs=1e-6)
    assert found["chemical_potentials"][element]["high"] == pytest.approx(high, abs=1e-6)


def test_a_phase_coexists_with_others(hull, salt):
    out, _ = hull("Na-Cl", "--entries", salt, "--phase", "id-NaCl")
    assert re.search(r"^Na +-4\.100 +0\.000$", out.replace(" \n", "\n"), re.MULTILINE)
    assert "it coexists with 2 sets of phases" in out
    sets = json.loads(hull("Na-Cl", "--entries", salt, "--phase", "NaCl", "--json")[0])["phase"]["coexists_with"]
    assert sorted(one["phases"][0]["formula"] for one in sets) == ["Cl2", "Na"]
    assert "unbounded" in hull("Na-Cl", "--entries", salt, "--phase", "Na")[0]


def test_more_elements_than_facets_are_found_for_leave_the_window(hull, tmp_path, write_entries):
    energies = dict.fromkeys(("Na", "K", "Rb", "Cs", "Li", "Cl"), -1.0) | {"NaCl": -6.0, "CsCl": -7.0}
    path = write_entries(tmp_path / "e.json", energies)
    out, _ = hull("Na-K-Rb-Cs-Li-Cl", "--entries", path, "--phase", "NaCl")
    assert re.search(r"^Cl +-4\.000 +0\.000", out, re.MULTILINE)  # from Na metal to chlorine gas
    assert "which phases it coexists with is not known" in out


@pytest.mark.parametrize("option", ["--mu", "--delta-mu"])
def test_an_open_hull_agrees_with_pymatgen(hull, iron_oxides, diagram, option):
    from pymatgen.analysis.phase_diagram import GrandPotentialPhaseDiagram

    reference = diagram.el_refs[Element("O")].energy_per_atom
    expected = GrandPotentialPhaseDiagram(diagram.all_entries, {Element("O"): reference - 1.5})
    value = reference - 1.5 if option == "--mu" else -1.5
    out = hull("Li-Fe-O", "--entries", iron_oxides, "--open", "O", option, value, "--all", "--json")[0]
    document = json.loads(out)
    stable = [row["formula"] for row in document["rows"] if row["e_above_hull"] == 0]
    assert set(stable) == {entry.original_entry.reduced_formula for entry in expected.stable_entries}
    assert document["hull"]["open"]["relative_to_the_elements"] == {"O": pytest.approx(-1.5)}
    table, _ = hull("Li-Fe-O", "--entries", iron_oxides, "--open", "O", option, value)
    assert (
        f"open to O at {reference - 1.5:.3f} eV/atom, -1.500 relative to the element: {len(set(stable))} stable"
        in table
    )


def test_an_element_that_would_precipitate_is_one_line_of_warning(hull, salt):
    _, err = hull("Na-Cl", "--entries", salt, "--open", "Cl", "--mu", "5")
    assert err.startswith("warning: the chemical potential of Cl, 5 eV/atom, lies above the energy of Cl itself")
    assert err.count("\n") == 1


def test_energies_per_cell_are_one_line_of_warning(hull, tmp_path, write_entries):
    path = write_entries(tmp_path / "e.json", SALT | {"Na4Cl4": -200.0})
    out, err = hull("Na-Cl", "--entries", path)
    assert err.startswith("warning: ")
    assert "id-Na4Cl4" in err
    assert err.count("\n") == 1
    assert out.startswith("hull of 5 entries")


def crystal(formula, energy, side):
    from pymatgen.core import Lattice, Structure

    symbols = [s for s, n in Composition(formula).get_el_amt_dict().items() for _ in range(int(n))]
    cell = Structure(Lattice.cubic(side), symbols, [[i / len(symbols)] * 3 for i in range(len(symbols))])
    return ComputedStructureEntry(cell, energy, entry_id=f"id-{formula}")


def test_a_temperature_turns_energies_into_free_energies(hull, tmp_path, salt):
    path = tmp_path / "e.json"
    entries = [crystal("Na", -1.3, 3.3), crystal("Cl2", -3.6, 4.6), crystal("NaCl", -7.2, 3.6)]
    path.write_text(json.dumps([entry.as_dict() for entry in entries]))
    cold, hot = (
        json.loads(hull("Na-Cl", "--entries", path, "--json", *options)[0])
        for options in ([], ["--temperature", "900"])
    )
    assert hot["hull"]["formation_energies"]
    assert hot["rows"][0]["formation_energy"] > cold["rows"][0]["formation_energy"] + 0.1  # a gas is consumed
    assert "free energies of formation at 900 K" in hull("Na-Cl", "--entries", path, "--temperature", "900")[0]


def test_what_is_stable_by_a_hair_keeps_its_sign(hull, tmp_path, write_entries):
    path = write_entries(tmp_path / "e.json", {"Na": -1.3, "Cl2": -3.6, "NaCl": -7.2, "Na3Cl": -9.8003})
    table, _ = hull("Na-Cl", "--entries", path)
    assert re.search(r"^Na3Cl +id-Na3Cl +0.000 +-0.000 ", table, re.MULTILINE)
    assert re.search(r"^Na +id-Na +0.000 +0.000 ", table, re.MULTILINE)


def test_what_has_no_free_energy_is_named(hull, tmp_path):
    path = tmp_path / "e.json"
    gas, crystal_of_it = crystal("CO2", -24.0, 4.4), crystal("C2O4", -40.0, 5.0)
    bare = ComputedEntry("CaO", -13.0, entry_id="id-bare")
    entries = [crystal("Ca", -2.0, 5.5), crystal("C", -9.2, 2.2), crystal("O2", -9.8, 4.0), gas, crystal_of_it, bare]
    path.write_text(json.dumps([entry.as_dict() for entry in entries]))
    out, err = hull("Ca-C-O", "--entries", path, "--temperature", "500")
    assert "left out: id-C2O4, id-bare: without a structure, or higher entries of an element or a gas" in out
    assert err.startswith("warning: no free energy, so not on the hull: 1 of 5 entries")
    document = json.loads(hull("Ca-C-O", "--entries", path, "--temperature", "500", "--all", "--json")[0])
    assert document["hull"]["left_out"] == ["id-C2O4", "id-bare"]
    assert [warning.split(":")[0] for warning in document["hull"]["warnings"]] == ["no free energy, so not on the hull"]
    assert [row["id"] for row in document["rows"] if row["formula"] == "CO2"] == ["id-CO2"]
    opened = hull("Ca-C-O", "--entries", path, "--temperature", "500", "--open", "O", "--delta-mu", "-1")[0]
    assert "-1.000 relative to the element in its stable phase at 500 K and 1 bar" in opened


MIXED = [
    ("Fe", "Fe", -8.3, "GGA", {}),
    ("O2", "O2", -9.8, "GGA", {}),
    ("FeO", "FeO", -13.4, "GGA+U", {"Fe": 5.3, "O": 0.0}),
    ("Fe2O3", "Fe2O3", -34.0, "GGA+U", {"Fe": 5.3, "O": 0.0}),
    ("Fe2O3", "plain", -37.0, "GGA", {}),
]


@pytest.fixture
def mixed(tmp_path):
    path = tmp_path / "mixed.json"
    potcars = {"Fe": "Fe_pv", "O": "O"}
    documents = []
    for formula, name, energy, run_type, hubbards in MIXED:
        symbols = Composition(formula).get_el_amt_dict()
        parameters = {
            "run_type": run_type,
            "hubbards": hubbards,
            "is_hubbard": bool(hubbards),
            "potcar_symbols": [f"PBE {potcars[symbol]}" for symbol in symbols],
        }
        documents.append(ComputedEntry(formula, energy, parameters=parameters, entry_id=name).as_dict())
    path.write_text(json.dumps(documents))
    return path


def test_two_protocols_are_named_with_what_joins_them(refused, mixed):
    message = refused("Fe-O", "--entries", mixed)
    assert "GGA and GGA+U cannot stand on one hull" in message
    assert "plain" in message
    assert "mp2020" in message


def test_a_scheme_joins_them_and_says_what_it_did(hull, mixed):
    out, _ = hull("Fe-O", "--entries", mixed, "--scheme", "mp2020")
    assert "protocol mp2020; correction scheme mp2020" in out
    assert "1 left out: plain" in out
    about = json.loads(hull("Fe-O", "--entries", mixed, "--scheme", "mp2020", "--json")[0])["hull"]
    assert about["corrections"]["left_out"] == 1
    assert about["scheme_version"].startswith("pymatgen ")


def test_an_element_whose_entries_a_scheme_leaves_out_is_told_from_one_that_is_missing(refused, mixed):
    documents = json.loads(mixed.read_text())
    documents[1]["parameters"].pop("potcar_symbols")
    mixed.write_text(json.dumps(documents))
    message = refused("Fe-O", "--entries", mixed, "--scheme", "mp2020")
    assert "the correction scheme mp2020 leaves out every entry of the element O, which the hull needs: O2" in message


def test_a_pipe_that_closes_early_still_leaves_the_plot(salt, tmp_path):
    command = f"{sys.executable} -m matscout hull Na-Cl --entries {salt} --plot {tmp_path}/hull.html | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert (tmp_path / "hull.html").stat().st_size > 10_000


def test_before_and_after_a_scheme_in_one_command(hull, mixed):
    out, _ = hull("Fe-O", "--entries", mixed, "--compare", "mp2020")
    assert re.search(r"before +scheme none, protocols GGA, GGA\+U: \d+ stable", out)
    assert "no valid hull, shown to compare: energies of the protocols GGA and GGA+U" in out
    assert re.search(r"after +scheme mp2020, protocol mp2020: \d+ stable", out)
    document = json.loads(hull("Fe-O", "--entries", mixed, "--compare", "mp2020", "--all", "--json")[0])
    assert [document[side]["protocols"] for side in ("before", "after")] == [["GGA", "GGA+U"], ["mp2020"]]
    rows = {row["id"]: row for row in document["rows"]}
    assert rows["plain"]["stable_before"]
    assert rows["plain"]["e_above_hull_after"] is None
    assert rows["Fe2O3"]["stable_after"] > rows["Fe2O3"]["stable_before"]


def test_plots_are_pages_that_need_no_network(hull, salt, tmp_path):
    _, err = hull("Na-Cl", "--entries", salt, "--plot", "hull.html", "--potentials", "mu.html")
    assert err.splitlines() == ["plot in hull.html", "chemical potentials in mu.html"]
    for name in ("hull.html", "mu.html"):
        page = (tmp_path / name).read_text()
        assert "NaCl" in page or "Na<sub>" in page
        assert 'src="http' not in page
    hull("Na-Cl", "--entries", salt, "--plot", "hull.json")
    assert json.loads((tmp_path / "hull.json").read_text())["data"]


def test_an_open_hull_is_plotted_over_the_other_elements(hull, iron_oxides, tmp_path):
    hull("Li-Fe-O", "--entries", iron_oxides, "--open", "O", "--delta-mu", "-1", "--plot", "open.json")
    drawn = (tmp_path / "open.json").read_text()
    assert "Li-Fe" in json.loads(drawn)["layout"]["title"]["text"]
    assert "FeO" in re.sub(r"</?sub>", "", drawn)  # not the Fe of a hull without its oxygen
    assert "grand potential" in drawn


HOSTILE = "mp\x1b[31m\n[red]1"


def test_what_a_file_says_steers_no_terminal(hull, tmp_path):
    path = tmp_path / "e.json"
    entries = [ComputedEntry(f, e, entry_id=f"{HOSTILE}{f}") for f, e in SALT.items()]
    path.write_text(json.dumps([entry.as_dict() for entry in entries]))
    for options in (["--all"], ["--decompose", "Na5Cl2"], ["--phase", "NaCl"], ["--open", "Cl", "--mu", "-2"]):
        out, err = hull("Na-Cl", "--entries", path, *options)
        assert "\x1b" not in out + err
        assert "mp\\x1b[31m\\n[red]1" in out.replace("mp\\x1b[31m\n[red]1", "mp\\x1b[31m\\n[red]1")
    rows = json.loads(hull("Na-Cl", "--entries", path, "--json")[0])["rows"]
    assert rows[0]["id"].startswith(HOSTILE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["NaCl", "--entries", "salt.json"], '"NaCl" is a formula, and the chemical system of it is Na-Cl'),
        (["CO", "--entries", "salt.json"], '"CO" is a formula, and the chemical system of it is C-O: name that'),
        (["SiO2-H2O", "--entries", "salt.json"], "the chemical system of it is Si-O-H"),
        (["na-cl", "--entries", "salt.json"], "Did you mean Na-Cl?"),
        (["NA_CL", "--entries", "salt.json"], "Did you mean Na-Cl?"),
        (["Na--Cl", "--entries", "salt.json"], "an element is missing in the chemical system"),
        (["Na-Xx", "--entries", "salt.json"], "unknown element 'Xx'"),
        (["-", "--entries", "salt.json"], "the chemical system is empty"),
        (["Na-Na", "--entries", "salt.json"], "an element stands twice"),
        (["Na-K", "--entries", "salt.json"], "has no entry of the element K, which the hull of Na-K needs"),
        (["Na-Cl", "--entries", "none.json"], "no file of entries none.json"),
        (["Na-Cl", "--entries", "."], "cannot read ."),
        (["Na-Cl", "--entries", "bad.json"], "bad.json is not JSON"),
        (["Na-Cl", "--entries", "salt.json", "--store", "x"], "--entries reads a file, --store a store"),
        (["Na-Cl", "--entries", "salt.json", "--mu", "-5"], "needs the element that is open"),
        (["Na-Cl", "--entries", "salt.json", "--open", "Cl"], "--mu -5 on the scale of the energies, or --delta-mu"),
        (["Na-Cl", "--entries", "salt.json", "--open", "Cl", "--mu", "-5", "--delta-mu", "-1"], "; not both"),
        (["Na-Cl", "--entries", "salt.json", "--open", "Cl", "--open", "Na", "--mu", "-5"], "nothing but Cl, Na is in"),
        (
            ["Na-Cl", "--entries", "salt.json", "--open", "Cl", "--open", "Cl", "--mu", "-5"],
            "with --open: Cl, Cl",
        ),
        (["Na-Cl", "--entries", "salt.json", "--open", "Cl", "--mu", "-5", "--mu", "-4"], "one for each, in the same"),
        (["Na-Cl", "--entries", "salt.json", "--open", "O", "--mu", "-5"], "the chemical system holds Na, Cl"),
        (["Na", "--entries", "salt.json", "--open", "Na", "--mu", "-5"], "nothing but Na"),
        (["Na-Cl", "--entries", "salt.json", "--open", "Cl", "--mu", "nan"], "the chemical potential of Cl is nan"),
        (["Na-Cl", "--entries", "salt.json", "--open", "Cl", "--mu", "-1", "--temperature", "900"], "give --delta-mu"),
        (["Na-Cl", "--entries", "salt.json", "--window", "-1"], "--window is -1"),
        (["Na-Cl", "--entries", "salt.json", "--window", "1", "--all"], "name one of the two"),
        (["Na-Cl", "--entries", "salt.json", "--phase", "Na3Cl"], "Na3Cl is not stable"),
        (["Na-Cl", "--entries", "salt.json", "--phase", "id-Na3Cl"], "0.55 eV/atom above the hull"),
        (["Na-Cl", "--entries", "salt.json", "--phase", "mp-1"], '"mp-1" is no formula, and no id'),
        (["Na-Cl", "--entries", "salt.json", "--decompose", "KCl"], "KCl holds K"),
        (["Na-Cl", "--entries", "salt.json", "--decompose", "mp-1"], '"mp-1" is no formula, and no id'),
        (["Na-Cl", "--entries", "salt.json", "--decompose", "NaCl", "--phase", "NaCl"], "do not go together"),
        (["Na-Cl", "--entries", "salt.json", "--scheme", "mp220"], "Nearest: mp2020."),
        (["Na-Cl", "--entries", "salt.json", "--compare", "mp220"], "Nearest: mp2020."),
        (["Na-Cl", "--entries", "salt.json", "--compare", "none", "--plot", "x.html"], "does not go with --compare"),
        (["Na-Cl", "--entries", "salt.json", "--temperature", "900"], "salt.json holds no structures"),
        (["Na-Cl", "--entries", "salt.json", "--phase", "NaCl", "--all"], "--all is for lists of entries"),
        (["Na-Cl", "--entries", "salt.json", "--decompose", "NaCl", "--window", "1"], "--window is for lists"),
        (["Na-Cl", "--entries", "salt.json", "--plot", "x.png"], "x.png: a plot is written as .html"),
        (["Na-Cl", "--entries", "salt.json", "--plot", "no/x.html"], "there is no folder no for x.html"),
        (["Na-Cl", "--entries", "salt.json", "--plot", "folder.html"], "folder.html is a folder"),
        pytest.param(
            ["Na-Cl", "--entries", "salt.json", "--plot", "/proc/x.html"],
            "the folder /proc cannot be written",
            marks=pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc, which even root cannot write"),
        ),
        (["Na-K-Rb-Cs-Cl", "--entries", "salt.json", "--plot", "x.html"], "a plot shows at most 4 elements"),
        (["Na", "--entries", "salt.json", "--potentials", "x.html"], "shows 2 or 3 elements, and this hull has 1"),
        (["Na-Cl", "--scheme", "mp2020"], "--scheme is for entries of a file"),
        (
            ["Na-Cl"],
            "there is no store in matscout-store: name its folder, or set MATSCOUT_STORE to it; or name a file",
        ),
        (["Na-Cl", "--store", "x"], "there is no store in x"),
        (["Na-Cl", "--campaign", "x.yaml"], "no campaign file x.yaml here"),
    ],
)
def test_a_mistake_is_one_sentence(refused, salt, arguments, message):
    (salt.parent / "bad.json").write_text("{")
    (salt.parent / "folder.html").mkdir()
    assert message in refused(*arguments)


def test_a_chemical_potential_that_is_no_number_is_a_mistake_of_usage(hull, salt):
    _, err = hull("Na-Cl", "--entries", salt, "--open", "Cl", "--mu", "five", code=2)
    assert "--mu" in err


def test_help_needs_neither_pymatgen_nor_plotly():
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "matscout", "hull", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--entries" in loaded.stdout
    assert not re.search(r"\| +(pymatgen|plotly|numpy)\b", loaded.stderr)
