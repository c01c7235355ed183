"""`matscout hull` of a campaign in a store."""

import json
import re
import shutil

import pytest
import yaml

from matscout.db import connect
from matscout.settings import get_settings
from matscout.workflows import Campaign, CampaignSpec

CAMPAIGN = {
    "name": "cesium",
    "seed": 1,
    "space": {"prototypes": ["cubic-perovskite"], "elements": {"A": ["Cs", "Rb"], "B": ["Mg"], "X": ["F"]}},
    "protocol": "chgnet-static",
    "references": {"source": "computed", "prototypes_per_stoichiometry": 1},
    "budget": {"calculations": 2, "first_batch": 2, "batch": 1},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A store in which a campaign of two candidates was run."""
    folder = tmp_path_factory.mktemp("finished")
    with connect(folder / "matscout-store") as store:
        Campaign(CampaignSpec.model_validate(CAMPAIGN), store).run()
    return folder / "matscout-store"


@pytest.fixture
def here(finished, tmp_path):
    """The campaign file beside its store, in the folder of the test."""
    shutil.copytree(finished, tmp_path / "matscout-store")
    (tmp_path / "cesium.yaml").write_text(yaml.safe_dump(CAMPAIGN))
    return tmp_path


def labels_of(store):
    return {label["formula"]: label for label in store.collection("labels").find({})}


def test_the_hull_of_a_campaign_is_that_of_its_labels(hull, here):
    document = json.loads(hull("Cs-Mg-F", "--all", "--json")[0])
    with connect(here / "matscout-store", read_only=True) as store:
        label = labels_of(store)["CsMgF3"]
    (row,) = [row for row in document["rows"] if row["formula"] == "CsMgF3"]
    assert row["id"] == f"candidate:{label['candidate_id']}"
    for key in ("e_above_hull", "decomposition_energy", "formation_energy"):
        assert row[key] == pytest.approx(label[key], abs=1e-12)
    assert document["hull"]["version"] == label["hull_version"]
    assert document["hull"]["protocols"] == ["chgnet-static"]
    assert document["hull"]["entries_of_version"] > document["hull"]["entries"]


def test_the_campaign_is_found_as_other_commands_find_it(hull, here, monkeypatch):
    expected = hull("Cs-Mg-F")[0]
    assert "; entries from candidates: 1, references calculated: " in expected
    for options in (["--campaign", "cesium.yaml"], ["--campaign", "cesium"], ["--store", "matscout-store"]):
        assert hull("Cs-Mg-F", *options)[0] == expected
    (here / "cesium.yaml").unlink()
    assert hull("Cs-Mg-F")[0] == expected
    (here / "matscout-store").rename(here / "elsewhere")
    monkeypatch.setenv("MATSCOUT_STORE", "elsewhere")
    get_settings.cache_clear()
    assert hull("Cs-Mg-F")[0] == expected.replace("in matscout-store", "in elsewhere")


def test_a_campaign_that_is_not_there_is_named(refused, here):
    assert "no campaign caesium in store matscout-store (it holds cesium-" in refused("Cs-F", "--campaign", "caesium")
    assert "it holds Cs, F, Mg, Rb" in refused("Cs-Fe-F")


def test_a_file_whose_campaign_is_not_in_the_store_is_told_what_is(refused, here):
    (ran,) = (path.stem for path in here.glob("*.yaml"))
    other = yaml.safe_dump(CAMPAIGN | {"name": "oxides"})
    (here / "cesium.yaml").unlink()
    (here / "oxides.yaml").write_text(other)
    message = refused("Cs-Mg-F", "--store", "matscout-store")
    assert re.search(rf"was not run in .* which holds 1 other: name one with --campaign: {ran}-[0-9a-f]{{8}}", message)


def test_a_campaign_has_free_energies_too(hull, here):
    rows = json.loads(hull("Cs-Mg-F", "--temperature", "600", "--all", "--json")[0])["rows"]
    assert {row["formula"] for row in rows} == {"Cs", "Mg", "F2", "CsF", "MgF2", "CsMgF3"}
    cold = {row["id"]: row for row in json.loads(hull("Cs-Mg-F", "--all", "--json")[0])["rows"]}
    assert all(
        row["formation_energy"] > cold[row["id"]]["formation_energy"] for row in rows if "F" in row["formula"][1:]
    )


def test_labels_of_an_older_hull_are_pointed_out(hull, here):
    with connect(here / "matscout-store") as store:
        store.collection("labels").update_many({}, {"$set": {"hull_version": "0123456789abcdef"}})
    out, err = hull("Cs-Mg-F")
    assert err.startswith("the labels of campaign cesium are of the hull 0123456789abcdef")
    assert out.startswith("hull of ")


def test_a_campaign_whose_references_are_missing_has_no_hull(refused, here):
    with connect(here / "matscout-store") as store:
        store.collection("calculations").update_many({}, {"$set": {"state": "waiting"}})
    assert "the references of campaign cesium are not all calculated yet" in refused("Cs-Mg-F")
