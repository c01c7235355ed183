from __future__ import annotations

import subprocess
import sys

import pytest
from pymatgen.entries.computed_entries import ComputedEntry, ConstantEnergyAdjustment

from matscout.errors import UserError
from matscout.workflows.stability import Corrected, CorrectionScheme, Hull, check_joinable, get_scheme, register_scheme
from matscout.workflows.stability.schemes import registry, scheme_names
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


def test_naming_schemes_does_not_load_pymatgens_compatibility():
    """It takes longer to import than a hull of thousands of entries takes to solve."""
    code = (
        "import sys; from matscout.workflows.stability import get_scheme, Hull; get_scheme('mp2020').version; "
        "Hull(['Na', 'Cl', 'NaCl'], [-1.0, -1.0, -3.0]); "
        "sys.exit('pymatgen.analysis.compatibility' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
