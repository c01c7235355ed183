"""`matscout featurize` as a user types it."""

from __future__ import annotations

import io
import json
import sys
from functools import partial

import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from matscout.db import connect
from matscout.db.documents import CalculationRequest, Geometry

ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def featurize(matscout):
    """Run `matscout featurize`."""
    return partial(matscout, "featurize")


def test_formulas_of_a_csv_are_magpie_unless_said_otherwise(featurize, tmp_path):
    (tmp_path / "known.csv").write_text("formula,gap\nNaCl,5.0\nsalt,1.0\n")
    said = featurize("known.csv", "-o", "features.parquet")
    assert "known.csv: 2 formulas, 132 features each" in said
    assert "1 row has no features" in said
    assert "row 1: " in said
    frame = pd.read_parquet(tmp_path / "features.parquet")
    assert frame["gap"].tolist() == [5.0, 1.0]
    assert frame.filter(like="MagpieData").notna().all(axis=1).tolist() == [True, False]


def test_formulas_may_come_through_a_pipe(featurize, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("NaCl\nMgO\n"))
    said = json.loads(featurize("-", "-o", "features.parquet", "--features", "stoichiometry", "--json"))
    assert (said["rows"], said["rows_with_errors"], said["features"]) == (2, 0, 6)


def test_a_folder_of_crystals_goes_on_from_the_cache(featurize, tmp_path):
    folder = tmp_path / "cifs"
    folder.mkdir()
    ROCK_SALT.to(filename=str(folder / "salt.cif"))
    first = json.loads(featurize("cifs", "-o", "one.parquet", "--features", "geometry", "--json"))
    again = json.loads(featurize("cifs", "-o", "two.parquet", "--features", "geometry", "--json"))
    assert (first["from_cache"], again["from_cache"]) == (0, 1)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_a_campaign_file_stands_for_its_candidates(featurize, tmp_path, tiny_text):
    (tmp_path / "tiny.yaml").write_text(tiny_text)
    said = json.loads(featurize("tiny.yaml", "-o", "features.parquet", "--json"))
    assert (said["kind"], said["rows"]) == ("candidates", 24)
    assert "A.electronegativity" in pd.read_parquet(tmp_path / "features.parquet")


def test_a_store_gives_the_crystals_before_they_were_calculated(featurize, tmp_path):
    request = CalculationRequest.of(
        Geometry.from_structure(ROCK_SALT), protocol="chgnet-static", protocol_id="x", subject="candidate:y"
    )
    with connect(str(tmp_path / "store")) as store:
        store.collection("calculations").insert_one(
            {"_id": request.id, "state": "completed", "request": request.model_dump(mode="json"), "result": None}
        )
    said = json.loads(featurize("store", "-o", "features.parquet", "--features", "geometry", "--json"))
    frame = pd.read_parquet(tmp_path / "features.parquet")
    assert (said["rows"], said["rows_with_errors"]) == (1, 0)
    assert frame.loc[0, ["id", "formula", "subject"]].tolist() == [request.id, "NaCl", "candidate:y"]
    assert frame.loc[0, "vpa"] == pytest.approx(5.64**3 / 8)


def test_strict_ends_with_the_first_rows_and_no_file(featurize, tmp_path):
    (tmp_path / "known.csv").write_text("formula\nNaCl\nsalt\n")
    said = featurize("known.csv", "-o", "features.parquet", "--strict", code=2)
    assert said.startswith("error: 1 of 2 rows have no features, or not all:\n  row 1: ")
    assert not (tmp_path / "features.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.csv", "-o", "f.parquet"], "no file or folder no.csv"),
        (["known.csv"], "name what to featurize and where to write"),
        (["known.csv", "-o", "f.csv"], "written as Parquet"),
        (["known.csv", "-o", "no/f.parquet"], "no folder no"),
        (["known.csv", "-o", "f.parquet", "--features", "magpi"], "Did you mean magpie?"),
        (["known.csv", "-o", "f.parquet", "--features", "voronoi"], "voronoi is made of crystals"),
        (["known.csv", "-o", "f.parquet", "--column", "fomula"], "Did you mean formula?"),
        (["known.csv", "-o", "f.parquet", "--dask", "locall"], "locall"),
        (["mongodb://127.0.0.1:1/x", "-o", "f.parquet"], "mongodb://127.0.0.1:1"),
    ],
)
def test_a_mistake_is_answered_in_one_line(featurize, tmp_path, arguments, message):
    (tmp_path / "known.csv").write_text("formula\nNaCl\n")
    said = featurize(*arguments, code=2)
    assert said.startswith("error: ")
    assert message in said
    assert said.count("\n") == 1


def test_the_list_has_every_set_and_the_columns_of_one(featurize):
    listed = {one["name"]: one for one in json.loads(featurize("--list", "--json"))}
    assert listed["magpie"]["features"] == 132
    assert listed["voronoi"]["takes"] == "crystals"
    columns = json.loads(featurize("--list", "--features", "geometry", "--json"))["columns"]
    assert {"name": "density", "unit": "g/cm^3"} in columns
    assert "any featurizer of matminer" in featurize("--list")
