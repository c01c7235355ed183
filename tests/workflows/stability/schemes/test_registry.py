from __future__ import annotations

import subprocess
import sys

import pytest
from pymatgen.entries.computed_entries import ComputedEntry, ConstantEnergyAdjustment

from matscout.errors import UserError
from matscout.workflows.stability import (
    Corrected,
    CorrectionScheme,
    Hull,
    check_joinable,
    compare_schemes,
    get_scheme,
    register_scheme,
)
from matscout.workflows.stability.schemes import corrected_entries, registry, scheme_names
from matscout.workflows.stability.schemes.base import adjusted


def test_one_protocol_needs_no_scheme():
    check_joinable({"gpaw-pbe": ["MgO", "CaO"]}, "none")
    check_joinable({}, "none")


def test_two_protocols_without_a_scheme_are_named_with_their_entries_and_with_what_joins_them():
    with pytest.raises(
        UserError,
        match=r"protocols chgnet-relax and mp2020 cannot .*: chgnet-relax \(CsF\) and mp2020 \(mp-1, mp-2, mp-3 and 1 "
        r"more\).*joins them: chgnet-as-mp2020$",
    ):
        check_joinable({"mp2020": ["mp-1", "mp-2", "mp-3", "mp-4"], "chgnet-relax": ["CsF"]}, "none")


def test_where_nothing_joins_protocols_no_scheme_is_offered():
    with pytest.raises(UserError, match=r"a, b and c cannot .* leave one of them out$"):
        check_joinable({"c": [1], "a": [2], "b": [3]}, get_scheme("none"))


def test_gga_and_gga_u_are_joined_by_two_schemes():
    with pytest.raises(UserError, match=r"joins them: mp2020, fitted-references:ENTRIES:ENTHALPIES$"):
        check_joinable({"GGA": ["mp-1"], "GGA+U": ["mp-2"]}, "none")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("chgnet-as-mp20", r"'chgnet-as-mp20'\. Nearest: chgnet-as-mp2020\. Known: none, "),
        ("MP2020 ", r"Nearest: mp2020\."),
        ("fitted-refs:a:b", r"Nearest: fitted-references\."),
        ("none:a:b", r"unknown correction scheme 'none:a:b'"),
        ("fitted-references", r"needs two files.*fitted-references:ENTRIES:ENTHALPIES"),
        ("fitted-references:a", "needs two files"),
        ("fitted-references::", "needs two files"),
        ("fitted-references:nowhere.json:nothing.json", r"nowhere\.json"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(name, words):
    with pytest.raises(UserError, match=words):
        get_scheme(name)


def test_every_scheme_says_what_it_is():
    for name in scheme_names():
        if ":" not in name:
            scheme = get_scheme(name)
            assert scheme.name == name
            assert scheme.summary
            assert scheme.version


class Halves(CorrectionScheme):
    """A scheme of one's own: half-energies beside full ones."""

    name = "halves"
    summary = "halves beside wholes"

    def check_protocols(self, entries_of):
        if set(entries_of) - {"whole", "half"}:
            raise UserError("neither half nor whole")

    def correct(self, entries):
        doubled = [
            adjusted(e, [ConstantEnergyAdjustment(e.energy)], "whole") if e.data["protocol"] == "half" else e
            for e in entries
        ]
        return Corrected(tuple(doubled))


@pytest.fixture
def halves(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    register_scheme(Halves())


def test_a_scheme_of_ones_own_joins_entries_on_a_hull(halves):
    entries = [
        ComputedEntry("Na", -1, data={"protocol": "whole"}),
        ComputedEntry("Cl", -1, data={"protocol": "half"}),
        ComputedEntry("NaCl", -8, data={"protocol": "whole"}),
    ]
    with pytest.raises(UserError, match=r"half \(Cl2?\) and whole .* joins them: halves$"):
        Hull.from_entries(entries)
    hull = Hull.from_entries(entries, scheme="halves")
    assert hull.reference_energies == {"Cl": -2.0, "Na": -1.0}
    assert entries[1].energy == -1


@pytest.mark.parametrize("name", ["mp2020", "a:b", ""])
def test_a_name_that_is_taken_or_no_name_is_refused(name, monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    scheme = Halves()
    scheme.name = name
    with pytest.raises(UserError, match="cannot be called"):
        register_scheme(scheme)


def test_no_scheme_leaves_entries_as_they_are():
    entries = [ComputedEntry("MgO", -12)]
    scheme = get_scheme("none")
    scheme.check_references(entries)
    assert scheme.correct(entries).entries[0] is entries[0]


def test_references_of_a_scheme_of_ones_own_must_be_of_protocols_that_it_joins(halves):
    scheme = get_scheme("halves")
    scheme.check_references([ComputedEntry("Na", -1, data={"protocol": "whole"})])
    with pytest.raises(UserError, match="neither half nor whole"):
        scheme.check_references([ComputedEntry("Na", -1, data={"protocol": "quarter"})])


def test_an_element_that_a_scheme_leaves_out_is_named_with_the_reason(run):
    """Without, the hull says that there is no entry of an element that the file has."""
    lithium = run("Li", -1.9)
    lithium.parameters["potcar_symbols"] = ["PBE Li"]
    entries = [lithium, run("O2", -9.8), run("Li2O", -14.3, data={"oxide_type": "oxide"})]
    with pytest.raises(
        UserError, match=r"mp2020 leaves out every entry of the element Li, .*: mp-Li: Incompatible POTCAR"
    ):
        corrected_entries(entries, "mp2020")
    lithium.entry_id = None
    with pytest.raises(UserError, match=r"element Li, .*: Li \(entries\[0\]\): Incompatible POTCAR"):
        corrected_entries(entries, get_scheme("mp2020"))
    with pytest.raises(UserError, match=r"leaves out every entry of the element Li, .*: Li: Incompatible"):
        compare_schemes(entries, "mp2020", "mp2020")


def test_another_entry_of_the_element_is_enough(run):
    wrong, right = run("Li", -1.9, name="wrong"), run("Li", -1.8, name="right")
    wrong.parameters["potcar_symbols"] = ["PBE Li"]
    corrected = corrected_entries([wrong, right, run("O2", -9.8)], "mp2020")
    assert [entry.entry_id for entry in corrected.entries] == ["right", "mp-O2"]
    assert corrected.describe_left_out().startswith("1 left out: wrong: Incompatible POTCAR")
    assert corrected_entries([right], "mp2020").describe_left_out() == ""


def test_an_element_that_nothing_kept_holds_is_missed_only_where_it_is_asked_for(run):
    """A file of all elements is not useless for one that cannot be corrected; a hull of that element is."""
    iron = run("Fe", -8)
    iron.parameters["potcar_symbols"] = ["PBE Fe"]
    kept = corrected_entries([iron, run("Mg"), run("MgO")], "mp2020").entries
    assert [entry.reduced_formula for entry in kept] == ["Mg", "MgO"]
    with pytest.raises(UserError, match=r"leaves out every entry of the element Fe, .*: mp-Fe: Incompatible POTCAR"):
        corrected_entries([iron, run("Mg"), run("MgO")], "mp2020", elements=["Fe", "Mg"])
    with pytest.raises(UserError, match=r"add entries of Fe that the scheme can correct"):
        corrected_entries([iron, run("Mg")], "mp2020", elements=["Fe", "Xe"])


def test_naming_schemes_does_not_load_pymatgens_compatibility():
    """It takes longer to import than a hull of thousands of entries takes to solve."""
    code = (
        "import sys; from matscout.workflows.stability import get_scheme, Hull; get_scheme('mp2020').version; "
        "Hull(['Na', 'Cl', 'NaCl'], [-1.0, -1.0, -3.0]); "
        "sys.exit('pymatgen.analysis.compatibility' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
