"""`matscout cache` shows what is kept and clears it."""

from __future__ import annotations

import json
import os
import time
from functools import partial

import numpy as np
import pytest

from matscout.featurizers import StructureFeaturizer
from matscout.featurizers.base import CrystalFeaturizer
from matscout.featurizers.cache import FeatureCache
from matscout.featurizers.rows import FeatureRow
from matscout.settings import get_settings


class Embedding(CrystalFeaturizer):
    """A featurizer with options."""

    name, version, options = "embedding", 4, {"cutoff": 5.0, "pooling": "mean"}
    units = citations = software = ()
    feature_names = ("a", "b")

    def featurize(self, row):
        raise NotImplementedError


@pytest.fixture
def run(command, monkeypatch, tmp_path):
    """Run `matscout cache`; return what it prints and complains."""
    monkeypatch.setenv("MATSCOUT_CACHE", str(tmp_path))
    get_settings.cache_clear()
    return partial(command, "cache")


@pytest.fixture
def cache(run, tmp_path):
    """A cache of 1,234 rows of geometry and two of the embedding, one of them an error."""
    cache = FeatureCache()
    assert cache.folder == tmp_path / "features"
    cache.put(StructureFeaturizer("geometry"), {str(n): FeatureRow(np.full(5, float(n))) for n in range(1234)})
    cache.put(Embedding(), {"a": FeatureRow(np.zeros(2)), "b": FeatureRow(np.full(2, np.nan), "no")})
    return cache


def names(run, *arguments):
    return [one["featurizer"] for one in json.loads(run("--json", *arguments)[0])["featurizers"]]


def test_an_empty_cache_says_so_and_where_it_is(run, tmp_path):
    assert run()[0] == run("--clear")[0] == f"the cache of features in {tmp_path}/features is empty\n"
    assert json.loads(run("--json")[0]) == {"folder": f"{tmp_path}/features", "featurizers": [], "damaged": []}


def test_the_table_shows_each_featurizer_with_its_options_rows_and_size(run, cache):
    folder, heading, embedding, geometry, total = run()[0].splitlines()
    assert folder == str(cache.folder)
    assert heading.split() == [
        "featurizer",
        "options",
        "software",
        "features",
        "rows",
        "errors",
        "size",
        "last",
        "used",
    ]
    assert embedding.split()[:6] == ["embedding", "cutoff=5.0", "pooling=mean", "-", "2", "2"]
    assert geometry.split()[0] == "geometry"
    assert "spglib=" in geometry
    assert geometry.split()[4:7] == ["5", "1,234", "0"]
    assert total.startswith("1,236 rows of 2 featurizers, ")


def test_json_holds_all_of_it(run, cache):
    embedding, geometry = json.loads(run("--json")[0])["featurizers"]
    assert embedding["options"] == {"cutoff": 5.0, "pooling": "mean"}
    assert (embedding["version"], embedding["rows"], embedding["errors"], embedding["n_features"]) == (4, 2, 1, 2)
    assert geometry["bytes"] == (cache.folder / f"{geometry['key']}.sqlite").stat().st_size
    assert geometry["first_written"] <= geometry["last_written"]


def test_one_featurizer_is_shown_or_cleared_by_its_name(run, cache):
    assert names(run, "geometry") == ["geometry"]
    out, _ = run("--clear", "geometry")
    assert "removed 1,234 rows of 1 featurizer, " in out
    assert names(run) == ["embedding"]


def test_clear_removes_everything_and_prints_what_that_was(run, cache):
    removed = json.loads(run("--clear", "--json")[0])["removed"]
    assert [one["rows"] for one in removed] == [2, 1234]
    assert names(run) == []


def test_days_choose_what_nobody_used_since(run, cache):
    long_ago = time.time() - 10 * 86400
    os.utime(cache.folder / f"{Embedding().key}.sqlite", (long_ago, long_ago))
    assert names(run, "--older-than", "9") == ["embedding"]
    assert "holds nothing unused for 11 days" in run("--clear", "--older-than", "11")[0]
    run("--clear", "--older-than", "9.5")
    assert names(run) == ["geometry"]


def test_an_unknown_name_is_told_with_the_nearest_and_nothing_is_removed(run, cache):
    _, err = run("--clear", "geometri", code=2)
    assert err == 'error: the cache holds nothing of a featurizer "geometri". Did you mean geometry?\n'
    assert names(run) == ["embedding", "geometry"]


def test_a_damaged_file_is_one_line_of_warning_and_goes_with_the_rest(run, cache):
    (cache.folder / f"{Embedding().key}.sqlite").write_text("no database" * 100)
    out, err = run()
    assert err.startswith("warning: the cache ")
    assert err.count("\n") == 1
    assert "1 damaged file was set aside" in out
    assert "removed 1 damaged file\n" in run("--clear")[0]
    assert cache.damaged() == []
