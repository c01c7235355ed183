"""What the command line says of checks: where a campaign asks for them, and nowhere else."""

import io
import json
import re

import pandas as pd
import pytest

from matscout.cli.sentences import check_sentences
from matscout.db import connect
from matscout.db.labels import Checked


@pytest.fixture
def campaign(made_up, matscout, tmp_path):
    """Write the campaign's file with these checks, and run it into the store beside it."""

    def run(*checks):
        (tmp_path / "halides.yaml").write_text(f"{made_up.text}checks: [{', '.join(checks)}]\n")
        with connect(tmp_path / "matscout-store") as store:
            return made_up.run(made_up.spec(checks=checks), store)

    return run


def test_results_have_a_column_only_where_checks_were_asked_for(campaign, matscout):
    campaign()
    bare = matscout("results")
    assert "checks" not in bare
    campaign("chgnet-rattled", "chgnet-phonons")
    rows = re.split(r"\n(?=\S)", matscout("results"))  # long remarks take several lines
    lines = {row.split()[0]: re.sub(r"\s+", " ", row) for row in rows}
    assert "checks" in lines["formula"]
    assert " passed " in lines["KMgF3"]
    assert "unstable against displacements: chgnet-phonons 3 imaginary modes, lowest -2.50 THz" in lines["RbMgF3"]
    assert "unstable against displacements: chgnet-rattled falls by 0.0300 eV/atom, prototype lost" in lines["CsMgF3"]
    assert " not finished " in lines["KCaF3"]
    for word in ("passed", "unstable", "not finished"):
        assert word not in lines["RbCaF3"]  # far from the hull


def test_tables_and_json_carry_all(campaign, matscout, tmp_path):
    summary = campaign("chgnet-rattled", "chgnet-phonons")
    found = {x["formula"]: x["checks"] for x in json.loads(matscout("results", "--json"))}
    assert found["CsMgF3"]["chgnet-rattled"]["dynamics"]["energy_gain"] == 0.03
    assert found["RbCaF3"] == {}
    table = pd.read_csv(io.StringIO(matscout("results", "--csv"))).set_index("formula")
    assert table.loc["RbMgF3", "chgnet-phonons lowest_frequency"] == -2.5
    assert table.loc["CsMgF3", "chgnet-rattled energy_change"] == pytest.approx(-0.03)
    assert table.loc["KCaF3", "chgnet-rattled cause"] == "input"
    matscout("results", "--parquet", "t.parquet")
    passed = pd.read_parquet(tmp_path / "t.parquet").set_index("formula")["chgnet-phonons passed"]
    expected = {x.formula: x.checks["chgnet-phonons"].passed for x in summary.labels if x.checks}
    assert passed.dropna().to_dict() == expected
    campaign()
    assert not [name for name in pd.read_csv(io.StringIO(matscout("results", "--csv"))) if "phonons" in name]


def test_explain_tells_each_check(campaign, matscout):
    campaign("chgnet-rattled", "chgnet-phonons")
    story = matscout("explain", "CsMgF3")
    assert (
        "check        unstable against displacements: chgnet-rattled falls by 0.0300 eV/atom, prototype lost" in story
    )
    assert "-0.0300 eV/atom from its own energy, space group 221" in story
    assert "check        passed: chgnet-phonons no imaginary modes, lowest 1.50 THz" in story
    story = matscout("explain", "KCaF3")
    assert "check        nothing is known: chgnet-rattled failed (input)" in story
    assert "check " not in matscout("explain", "RbCaF3")


def test_a_failed_check_is_among_the_failures(campaign, matscout):
    campaign("chgnet-rattled")
    rows = json.loads(matscout("failures", "halides.yaml", "--json"))
    assert {(one["formula"], one["protocol"]) for row in rows for one in row["calculations"]} == {
        ("KCaF3", "chgnet-rattled"),
        ("CsCaF3", "chgnet-relax"),
    }


def test_the_summary_counts_them():
    assert check_sentences(Checked(n_found=4, n_passed=1, n_unstable=2)) == [
        "1 of 4 found pass their checks; 2 unstable against displacements; 1 could not be checked"
    ]
    assert check_sentences(Checked(n_found=2, n_passed=2, n_unstable=0)) == ["2 of 2 found pass their checks"]
    assert check_sentences(Checked(n_found=0, n_passed=0, n_unstable=0)) == check_sentences(None) == []


def test_validate_says_that_they_come_on_top(campaign, matscout):
    campaign("chgnet-phonons")
    assert "checks       chgnet-phonons of each crystal found" in matscout("validate", "halides.yaml")


def test_a_worker_that_does_not_take_the_checks_is_refused_before_anything_is_calculated(made_up, matscout, tmp_path):
    (tmp_path / "workers.yaml").write_text(
        "node: {scheduler: slurm, launch_folder: /tmp/x, walltime: 01:00:00, protocols: chgnet-relax}\n"
    )
    (tmp_path / "halides.yaml").write_text(made_up.text + "checks: [chgnet-phonons]\n")
    said = matscout("submit", "halides.yaml", "--worker", "node", code=2)
    assert "worker node takes chgnet-relax, and campaign halides needs protocol chgnet-phonons: add it" in said
