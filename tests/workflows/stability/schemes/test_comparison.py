from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.core.entries import ComputedEntry

from matscout.errors import UserError
from matscout.workflows.stability import compare_schemes, get_scheme, read_entries, restrict


@pytest.fixture(scope="module")
def older(data):
    """Entries of Li-Fe-O with corrections from before MP2020."""
    return restrict(read_entries(data / "entries" / "Li-Fe-P-O_entries.json.gz"), ["Li", "Fe", "O"])


@pytest.fixture(scope="module")
def frame(older):
    return compare_schemes(older)


def test_distances_are_pymatgens_before_and_after(frame, older):
    rows = frame.set_index("id")
    for side, entries in (("before", older), ("after", get_scheme("mp2020").correct(older).entries)):
        diagram = PhaseDiagram(entries)
        expected = [diagram.get_e_above_hull(entry) for entry in entries]
        found = rows.loc[[entry.entry_id for entry in entries], f"e_above_hull_{side}"]
        assert found.to_numpy() == pytest.approx(expected, abs=1e-8)
        stable = {entry.entry_id for entry in diagram.stable_entries}
        assert set(rows.index[rows[f"stable_{side}"]]) == stable
        assert frame.attrs[side]["stable"] == len(stable)


def test_what_changes_most_comes_first(frame):
    flips = (frame.stable_before != frame.stable_after).to_numpy()
    n = flips.sum()
    assert n > 0
    assert flips[:n].all()
    assert (np.diff(frame.change.abs()[n:]) <= 1e-8).all()
    assert frame.change.to_numpy() == pytest.approx((frame.e_above_hull_after - frame.e_above_hull_before).to_numpy())


def test_a_scheme_compared_with_itself_changes_nothing(iron_phosphates):
    same = compare_schemes(iron_phosphates, "mp2020", "mp2020")
    assert (same.change == 0).all()
    assert compare_schemes(iron_phosphates).change.abs().max() == pytest.approx(0, abs=1e-8)


def test_mixed_protocols_are_refused_unless_mixing_is_what_shall_be_seen(uncorrected):
    uncorrected = restrict(uncorrected, ["Li", "Fe", "O"])
    with pytest.raises(UserError, match=r"GGA and GGA\+U cannot stand on one hull"):
        compare_schemes(uncorrected)
    seen = compare_schemes(uncorrected, allow_mixed=True)
    assert "GGA and GGA+U cannot" in seen.attrs["before"]["mixed"]
    assert seen.attrs["after"]["mixed"] == ""
    assert seen.change.abs().max() > 0.1


def test_what_a_scheme_leaves_out_is_there_without_a_distance(run):
    entries = [run("Fe", -8), run("O", -5), run("FeO", -20, Fe=5.3, data={"oxide_type": "oxide"}), run("Fe2O3", -35)]
    frame = compare_schemes(entries, "mp2020", "mp2020").set_index("id")
    assert np.isnan(frame.e_above_hull_after["mp-Fe2O3"])
    assert frame.left_out["mp-Fe2O3"].startswith("mp2020: Invalid U value of 0.0 on Fe")
    assert not frame.stable_after["mp-Fe2O3"]
    assert (frame.left_out.drop("mp-Fe2O3") == "").all()


def test_entries_need_ids_of_their_own_or_none():
    entries = [ComputedEntry("Mg", -1), ComputedEntry("Mg", -0.5)]
    assert compare_schemes(entries, "none", "none").id.tolist() == ["Mg", "Mg#2"]
    for entry in entries:
        entry.entry_id = "same"
    with pytest.raises(UserError, match="one id stands for two entries: same"):
        compare_schemes(entries, "none", "none")
    with pytest.raises(UserError, match="no entries to compare"):
        compare_schemes([])
