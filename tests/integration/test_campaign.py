"""Whole campaigns under violence: kill -9, a full disk, another store; and on real reference entries."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "matscout"]

# Real relaxations, so that a kill finds one under way; long enough for most kills to find the run before its end.
CAMPAIGN = """\
name: killed
seed: 5
space:
  prototypes: [cubic-perovskite]
  elements:
    A: [Na, K, Rb, Cs]
    B: [Mg, Ca, Sr, Zn, Cd]
    X: [F, Cl, Br]
references:
  source: computed
  prototypes_per_stoichiometry: 1
budget:
  calculations: 30
  first_batch: 12
  batch: 6
"""


def run(folder, *arguments, check=True, **environment):
    answer = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if check:
        assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer


def documents(folder, uri=None):
    """All that a run decided and calculated, without times, attempts, hosts and paths."""
    from matscout.db import connect

    forget = {"time", "created", "updated", "seconds", "host", "attempts"}

    def clean(value):
        if isinstance(value, dict):
            return {k: clean(v) for k, v in value.items() if k not in forget}
        return [clean(v) for v in value] if isinstance(value, list) else value

    with connect(uri or folder / "matscout-store", read_only=True, must_exist=True) as store:
        return {
            name: sorted((clean(x) for x in store.collection(name).find()), key=lambda x: str(x["_id"]))
            for name in ("campaigns", "calculations", "candidates", "ionic_steps", "labels", "selections")
        }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "killed.yaml").write_text(CAMPAIGN)
    begun = time.monotonic()
    run(folder, "run", "killed.yaml")
    return folder, time.monotonic() - begun


def test_kill_9_at_twenty_random_moments_changes_nothing(tmp_path, undisturbed):
    reference, seconds = undisturbed
    expected = documents(reference)
    dice = random.Random(20)
    kills = rounds = 0
    while kills < 20:  # a quick machine ends a campaign before the twentieth kill: then another one begins
        folder = tmp_path / str(rounds)
        folder.mkdir()
        (folder / "killed.yaml").write_text(CAMPAIGN)
        kills += kill_until_done(folder, dice, seconds, 20 - kills)
        assert documents(folder) == expected
        outcomes = [[a["outcome"] for a in c["attempts"]] for c in calculations(folder).values()]
        assert all(o[-1] in {"completed", "failed"} and set(o[:-1]) <= {"interrupted"} for o in outcomes)
        assert any(len(o) > 1 for o in outcomes)
        rounds += 1


def kill_until_done(folder, dice, seconds, most):
    """Run again after each kill; nothing acknowledged may be lost or done again. Returns how often it was killed."""
    finished = {}
    for kills in range(most):
        with subprocess.Popen([*COMMAND, "run", "killed.yaml"], cwd=folder, stdout=subprocess.DEVNULL) as process:
            try:
                process.wait(3.5 + dice.random() * max(seconds / 8, 3))  # loading takes some seconds
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
            else:
                assert process.returncode == 0
                return kills
        now = calculations(folder)
        for key, before in finished.items():
            assert now[key]["result"] == before["result"]
            assert now[key]["attempts"] == before["attempts"]
        finished = {key: c for key, c in now.items() if c["state"] in {"completed", "failed"}}
    run(folder, "run", "killed.yaml")
    return most


def calculations(folder):
    from matscout.db import connect

    if not (folder / "matscout-store" / "store.sqlite").exists():
        return {}
    with connect(folder / "matscout-store", read_only=True) as store:
        return {c["_id"]: c for c in store.collection("calculations").find()}


def test_a_full_disk_is_one_sentence_and_the_run_goes_on(tmp_path, undisturbed):
    """A real file system of 2 MB, later enlarged."""
    reference, _ = undisturbed
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=True)
    try:
        (disk / "killed.yaml").write_text(CAMPAIGN)
        answer = run(disk, "run", "killed.yaml", check=False)
        assert answer.returncode == 2
        assert re.fullmatch(r"error: the disk of .* is full.*\n", answer.stderr), answer.stderr
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        run(disk, "run", "killed.yaml")
        assert documents(disk) == documents(reference)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_campaign_on_mongodb_equals_one_on_the_embedded_store(tmp_path, undisturbed):
    from pymongo import MongoClient

    reference, _ = undisturbed
    uri = os.environ["MATSCOUT_TEST_MONGO_URI"].rsplit("/", 1)[0] + "/campaign"
    with MongoClient(uri) as client:
        client.drop_database("campaign")
    (tmp_path / "killed.yaml").write_text(CAMPAIGN)
    run(tmp_path, "run", "killed.yaml", "--store", uri)
    assert documents(tmp_path, uri) == documents(reference)
    (row,) = json.loads(run(tmp_path, "status", "--json", "--store", uri).stdout)
    assert (row["state"], row["n_calculated"]) == ("finished", 30)
    best = json.loads(run(tmp_path, "results", "--json", "--store", uri).stdout)[0]
    story = run(tmp_path, "explain", best["candidate_id"], "--store", uri).stdout
    assert "chosen" in story
    assert "competitors" in story


def test_candidates_against_real_materials_project_entries(tmp_path, data):
    campaign = yaml.safe_load((ROOT / "examples" / "li_fe_phosphates.yaml").read_text())
    campaign["references"]["error_sample"] = 20
    campaign["budget"] = {"calculations": 15, "first_batch": 10, "batch": 5}
    (tmp_path / "phosphates.yaml").write_text(yaml.safe_dump(campaign))
    answer = run(tmp_path, "run", "phosphates.yaml", MATSCOUT_DATA=str(data))
    assert re.search(r"chgnet-as-mp2020: 20 entries calculated again differ by \d+", answer.stdout)
    assert "943 entries of Fe_Li_O_P_entries.json.gz" in answer.stdout
    error = re.search(r"differ by ([\d.]+) meV/atom", answer.stdout)
    assert float(error.group(1)) < 60


def test_reference_structures_are_calculated_again(tmp_path, data):
    """One protocol on the hull: the entries of Li-O near the file's hull, relaxed by the campaign's own."""
    (tmp_path / "oxides.yaml").write_text(
        "name: oxides\n"
        "space: {prototypes: [fluorite, Cu2Sb, rock-salt], elements: [Li, O]}\n"
        "references: {source: file, path: entries/Fe_Li_O_P_entries.json.gz, window: 0.02, max_calculations: 20}\n"
        "budget: {calculations: 5, first_batch: 5}\n"
    )
    answer = run(tmp_path, "run", "oxides.yaml", MATSCOUT_DATA=str(data))
    assert "calculated again" in answer.stdout
    rows = json.loads(run(tmp_path, "results", "--json", MATSCOUT_DATA=str(data)).stdout)
    assert {row["correction"] for row in rows} == {"none"}
    assert (rows[0]["formula"], rows[0]["known_as"]) == ("Li2O", "Li2O:mp-1960")
