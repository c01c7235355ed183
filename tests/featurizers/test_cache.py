"""Rows are kept to the last bit, by many processes at once, and nothing wrong with the files stops anything."""

from __future__ import annotations

import os
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from matscout.errors import MatscoutWarning, UserError
from matscout.featurizers import StructureFeaturizer, cache_file, cache_lock
from matscout.featurizers.base import CrystalFeaturizer
from matscout.featurizers.cache import FeatureCache, cache_folder
from matscout.featurizers.cache_failures import file_number, set_aside
from matscout.featurizers.cache_lock import reading, writing
from matscout.featurizers.rows import FeatureRow
from matscout.settings import get_settings

GEOMETRY = StructureFeaturizer("geometry")  # five features

WRITER = """
import sys
import numpy as np
from matscout.featurizers import StructureFeaturizer
from matscout.featurizers.cache import FeatureCache
from matscout.featurizers.rows import FeatureRow

geometry = StructureFeaturizer("geometry")
cache, first, batches, size = FeatureCache(sys.argv[1]), *map(int, sys.argv[2:])
print("ready", flush=True)
sys.stdin.readline()
for batch in range(first, first + batches):
    numbers = range(batch * size, (batch + 1) * size)
    cache.put(geometry, {f"row {n}": FeatureRow(np.full(5, n / 3), seconds=n) for n in numbers})
    print(batch, flush=True)
"""


class Toy(CrystalFeaturizer):
    """Numbers of nothing."""

    units = citations = software = ()

    def __init__(self, name="toy", width=3, version=1, **options):
        self.name, self.version, self.options = name, version, options
        self.feature_names = tuple(f"x{i}" for i in range(width))

    def featurize(self, row):
        raise NotImplementedError


def row(*values, **more):
    return FeatureRow(np.array(values, dtype=float), **more)


def bits(values):
    return np.asarray(values, dtype=float).view(np.uint64).tolist()


@pytest.fixture
def start():
    """Start WRITER, which waits for `go`; what still runs at the end of a test is killed."""
    with ExitStack() as stack:

        def run(*arguments):
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-W", "error", "-c", WRITER, *map(str, arguments)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            return process

        yield run


def go(*processes):
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()


def is_sound(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def check(found, numbers):
    """Every row of these numbers is there, as WRITER wrote it."""
    assert found.keys() >= {f"row {n}" for n in numbers}
    for key, kept in found.items():
        n = int(key.removeprefix("row "))
        assert bits(kept.values) == bits(np.full(5, n / 3))
        assert kept.seconds == n


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "features")


@pytest.fixture
def path(cache):
    return cache.folder / f"{GEOMETRY.key}.sqlite"


# ---------------------------------------------------------------------------------------------------------------- kept


@given(arrays(np.uint64, st.integers(0, 40)), st.floats(0, 1e6))
def test_numbers_come_back_to_the_last_bit(tmp_path_factory, pattern, seconds):
    cache, toy = FeatureCache(tmp_path_factory.mktemp("cache")), Toy(width=len(pattern))
    values = pattern.view(np.float64)  # NaN of all kinds, -0, infinities, subnormal numbers
    cache.put(toy, {"a": FeatureRow(values, seconds=seconds)})
    found = cache.get(toy, ["a"])["a"]
    assert bits(found.values) == pattern.tolist()
    assert (found.error, found.seconds, found.lasting) == (None, seconds, True)
    assert found.values.flags.writeable


def test_mostly_empty_rows_take_little_room(cache):
    values = np.zeros(1024)
    values[::50] = np.random.default_rng(0).random(21)
    cache.put(Toy(width=1024), {str(n): FeatureRow(values) for n in range(100)})
    (content,) = cache.contents()
    assert content.bytes < 100 * values.nbytes / 10


def test_an_error_is_kept_with_its_text_and_one_that_may_pass_is_not(cache):
    nothing = np.full(3, np.nan)
    cache.put(
        Toy(),
        {
            "lasting": FeatureRow(nothing, "sites 0 and 1 overlap, 0.30 Å apart", 0.5),
            "passing": FeatureRow(nothing, "more than 10 s", 10, lasting=False),
        },
    )
    found = cache.get(Toy(), ["lasting", "passing"])
    assert list(found) == ["lasting"]
    assert found["lasting"].error == "sites 0 and 1 overlap, 0.30 Å apart"
    assert np.isnan(found["lasting"].values).all()
    assert found["lasting"].values.shape == (3,)


def test_thousands_of_keys_are_asked_for_at_once_and_only_those_there_come(cache):
    cache.put(GEOMETRY, {f"row {n}": FeatureRow(np.full(5, n / 3), seconds=n) for n in range(5000)})
    found = cache.get(GEOMETRY, [f"row {n}" for n in range(2500, 7500)])
    assert len(found) == 2500
    check(found, range(2500, 5000))


def test_a_row_put_again_replaces_the_old_one(cache):
    cache.put(Toy(), {"a": row(1, 2, 3), "b": row(4, 5, 6)})
    cache.put(Toy(), {"a": row(7, 8, 9)})
    found = cache.get(Toy(), ["a", "b"])
    assert [found[key].values.tolist() for key in "ab"] == [[7, 8, 9], [4, 5, 6]]
    assert cache.contents()[0].rows == 2


@pytest.mark.parametrize("other", [Toy(version=2), Toy("other"), Toy(cutoff=5.0)], ids=["version", "name", "options"])
def test_the_numbers_of_another_featurizer_do_not_count(cache, other):
    cache.put(Toy(), {"a": row(1, 2, 3)})
    assert cache.get(other, ["a"]) == {}
    assert list(cache.get(Toy(), ["a"])) == ["a"]


def test_nothing_is_written_where_nothing_is_kept(cache):
    assert cache.get(Toy(), ["a"]) == {}
    cache.put(Toy(), {})
    cache.put(Toy(), {"a": row(1, 2, 3, lasting=False)})
    assert cache.contents() == cache.clear() == cache.damaged() == []
    assert not cache.folder.exists()


def test_a_row_of_another_length_is_refused_and_none_beside_it_is_kept(cache):
    with pytest.raises(ValueError, match=r"row b has the shape \(2,\) for 3 features"):
        cache.put(Toy(), {"a": row(1, 2, 3), "b": row(1, 2)})
    assert cache.get(Toy(), ["a", "b"]) == {}


def test_a_file_of_another_number_of_features_is_set_aside(cache):
    cache.put(Toy(width=3), {"a": row(1, 2, 3)})
    longer = Toy(width=4)
    assert longer.key == Toy(width=3).key  # somebody forgot to raise the version
    with pytest.warns(MatscoutWarning, match="it holds 3 features"):
        assert cache.get(longer, ["a"]) == {}


def test_a_cache_can_be_sent_to_another_process(cache):
    cache.put(Toy(), {"a": row(1, 2, 3)})
    assert list(pickle.loads(pickle.dumps(cache)).get(Toy(), ["a"])) == ["a"]


# ----------------------------------------------------------------------------------------------------- many at a time


def test_two_writers_of_one_file_lose_nothing(cache, path, start):
    """They make it at the same moment, too, and half of their rows are the same."""
    writers = [start(cache.folder, 0, 30, 40), start(cache.folder, 15, 30, 40)]
    go(*writers)
    assert [writer.wait(120) for writer in writers] == [0, 0]
    check(cache.get(GEOMETRY, [f"row {n}" for n in range(45 * 40)]), range(45 * 40))
    assert cache.contents()[0].rows == 45 * 40
    assert is_sound(path)


def test_what_was_acknowledged_survives_a_kill_at_any_moment(cache, path, start):
    chance = random.Random(1)
    acknowledged = set()
    for round_ in range(5):
        writer = start(cache.folder, 1000 * round_, 1000, 25)
        go(writer)
        lines = [writer.stdout.readline()] if round_ else []  # the first is killed while it makes the file
        time.sleep(chance.uniform(0, 0.05) if round_ else 0.002)
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.read().splitlines()
        writer.wait()
        acknowledged |= {int(line) for line in lines}
        numbers = [n for batch in acknowledged for n in range(batch * 25, (batch + 1) * 25)]
        check(cache.get(GEOMETRY, [f"row {n}" for n in numbers]), numbers)
    assert len(acknowledged) >= 5
    cache.put(GEOMETRY, {"row 1": FeatureRow(np.full(5, 1 / 3), seconds=1)})
    assert is_sound(path)


def test_clearing_under_a_writer_disturbs_neither(cache, path, start):
    writer = start(cache.folder, 0, 100_000, 5)
    go(writer)
    cleared = 0
    while cleared < 4:
        cleared += len(cache.clear())
        time.sleep(0.02)
    assert writer.poll() is None  # a warning would have ended it
    writer.kill()
    written = [int(line) for line in writer.stdout.read().splitlines()]
    cache.put(GEOMETRY, {"row 1": FeatureRow(np.full(5, 1 / 3), seconds=1)})
    found = cache.get(GEOMETRY, [f"row {n}" for n in range(5 * written[-1])])
    check(found, [1])
    assert 0 < len(found) < 5 * written[-1]
    assert is_sound(path)


def test_a_folder_in_use_is_not_cleared(cache, monkeypatch):
    cache.put(GEOMETRY, {"a": row(1, 2, 3, 4, 5)})
    monkeypatch.setattr(cache_lock, "BUSY_SECONDS", 0.05)
    with reading(cache.folder), pytest.raises(TimeoutError, match=r"other processes kept it locked for 0\.05 s"):
        cache.clear()
    with writing(cache.folder), pytest.warns(MatscoutWarning, match=r"cannot be used \(other processes kept it locked"):
        assert cache.get(GEOMETRY, ["a"]) == {}
    assert len(cache.clear()) == 1


def test_a_file_that_stays_locked_is_given_up(cache, path, monkeypatch):
    cache.put(GEOMETRY, {"a": row(1, 2, 3, 4, 5)})
    monkeypatch.setattr(cache_file, "BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.warns(MatscoutWarning, match="another process kept"):
            assert cache.get(GEOMETRY, ["a"]) == {}
    assert cache.get(GEOMETRY, ["a"]) == {}  # no second wait
    assert list(FeatureCache(cache.folder).get(GEOMETRY, ["a"])) == ["a"]


# ------------------------------------------------------------------------------------------------------------- damaged


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a file of 60 rows, every tenth an error, and the rows."""
    cache = FeatureCache(tmp_path_factory.mktemp("whole"))
    random_numbers = np.random.default_rng(0)
    rows = {f"row {n}": FeatureRow(random_numbers.normal(size=5)) for n in range(60)}
    rows |= {f"row {n}": FeatureRow(np.full(5, np.nan), f"error {n}") for n in range(0, 60, 10)}
    cache.put(GEOMETRY, rows)
    return (cache.folder / f"{GEOMETRY.key}.sqlite").read_bytes(), rows


def never_wrong(folder, content, rows):
    """Whatever a file holds, a row comes back as it was put or not at all, and the file can be used again."""
    cache = FeatureCache(folder)
    path = cache.folder / f"{GEOMETRY.key}.sqlite"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MatscoutWarning)
        found = cache.get(GEOMETRY, list(rows))
        for key, kept in found.items():
            assert bits(kept.values) == bits(rows[key].values)
            assert kept.error == rows[key].error
        cache.contents()
        cache.put(GEOMETRY, rows)
        again = FeatureCache(folder).get(GEOMETRY, list(rows))
    return found, again


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 300]))
def test_changed_bytes_never_give_a_wrong_number(whole, tmp_path_factory, seed, n_changed):
    content, rows = whole
    rng = np.random.default_rng(seed)
    damaged = np.frombuffer(content, dtype=np.uint8).copy()
    damaged[rng.integers(0, len(content), n_changed)] ^= rng.integers(1, 256, n_changed).astype(np.uint8)
    never_wrong(tmp_path_factory.mktemp("cache"), damaged.tobytes(), rows)


@settings(max_examples=20)
@given(st.data())
def test_a_file_cut_short_is_set_aside_and_begun_anew(whole, tmp_path_factory, data):
    content, rows = whole
    folder = tmp_path_factory.mktemp("cache")
    _, again = never_wrong(folder, content[: data.draw(st.integers(0, len(content) - 1))], rows)
    assert again.keys() == rows.keys()


@given(st.binary(max_size=5000))
@settings(max_examples=20)
def test_garbage_is_set_aside_and_begun_anew(whole, tmp_path_factory, garbage):
    found, again = never_wrong(tmp_path_factory.mktemp("cache"), garbage, whole[1])
    assert found == {}
    assert again.keys() == whole[1].keys()


def test_a_damaged_file_is_named_and_stays_beside_the_new_one(cache, path):
    cache.folder.mkdir()
    path.write_text("no database at all" * 100)
    with pytest.warns(MatscoutWarning, match=rf"{path} is damaged \(file is not a database\): it was set aside as"):
        cache.put(GEOMETRY, {"a": row(1, 2, 3, 4, 5)})
    assert list(cache.get(GEOMETRY, ["a"])) == ["a"]
    assert [aside.read_text()[:11] for aside in cache.damaged()] == ["no database"]


def test_a_database_of_another_kind_is_set_aside_untouched(cache, path):
    cache.folder.mkdir()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE rows (key)")
    with pytest.warns(MatscoutWarning, match="it is not a cache of features"):
        assert cache.get(GEOMETRY, ["a"]) == {}
    assert is_sound(path.with_suffix(".damaged"))


def test_the_journal_of_a_damaged_file_does_not_spoil_the_new_one(cache, path, start):
    writer = start(cache.folder, 0, 1, 10)
    go(writer)
    writer.wait(60)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA cache_size = 1")  # so that the journal is written and the file changed before the end
        other.execute("BEGIN IMMEDIATE")
        other.executemany("INSERT INTO rows VALUES (?, ?, 0)", [(os.urandom(16), os.urandom(500)) for _ in range(200)])
        journal = path.with_name(f"{path.name}-journal").read_bytes()
        other.execute("ROLLBACK")
    assert len(journal) > 1000
    path.write_bytes(b"garbage" * 3000)
    path.with_name(f"{path.name}-journal").write_bytes(journal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MatscoutWarning)
        cache.put(GEOMETRY, {"a": row(1, 2, 3, 4, 5)})
    assert cache.get(GEOMETRY, ["a"])["a"].values.tolist() == [1, 2, 3, 4, 5]
    assert is_sound(path)


def test_who_comes_second_to_a_damaged_file_leaves_the_new_one_writing(cache, path):
    cache.folder.mkdir()
    path.write_text("damaged")
    seen = file_number(path)
    with pytest.warns(MatscoutWarning, match="set aside"):
        cache.put(GEOMETRY, {"a": row(1, 2, 3, 4, 5)})
    assert set_aside(path, seen, ValueError("seen before")) is None
    assert list(cache.get(GEOMETRY, ["a"])) == ["a"]


def test_a_damaged_row_is_computed_again(cache, path):
    cache.put(GEOMETRY, {"a": row(1, 2, 3, 4, 5), "b": row(6, 7, 8, 9, 10)})
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE rows SET body = (SELECT body FROM rows WHERE rowid = 1) WHERE rowid = 2")
    with pytest.warns(MatscoutWarning, match="1 rows of the cache .* are damaged"):
        (kept,) = cache.get(GEOMETRY, ["a", "b"])
    cache.put(GEOMETRY, {"a": row(1, 2, 3, 4, 5), "b": row(6, 7, 8, 9, 10)})
    assert kept in ("a", "b")
    assert {key: found.values[0] for key, found in cache.get(GEOMETRY, ["a", "b"]).items()} == {"a": 1, "b": 6}


def test_a_file_of_another_release_is_left_writing(cache, path):
    cache.put(GEOMETRY, {"a": row(1, 2, 3, 4, 5)})
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.warns(MatscoutWarning, match="its format is 99, and this release of matscout reads 1; matscout cache"):
        assert cache.get(GEOMETRY, ["a"]) == {}
    cache.put(GEOMETRY, {"b": row(1, 2, 3, 4, 5)})
    assert path.read_bytes() == before
    with pytest.warns(MatscoutWarning, match="format"):
        assert cache.clear() == []
    assert not path.exists()


# ----------------------------------------------------------------------------------------------- no room, no permission


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path):
    (tmp_path / "file").touch()
    cache = FeatureCache(tmp_path / "file" / "features")
    assert cache.get(Toy(), ["a"]) == {}
    with pytest.warns(MatscoutWarning, match=r"cannot be used \(Not a directory\): features go on without"):
        cache.put(Toy(), {"a": row(1, 2, 3)})
    cache.put(Toy(), {"b": row(1, 2, 3)})
    assert cache.get(Toy(), ["a", "b"]) == {}
    assert cache.contents() == []


def test_a_folder_in_place_of_a_file_is_said_once(cache, path):
    path.mkdir(parents=True)
    with pytest.warns(MatscoutWarning, match="no permission to use"):
        assert cache.get(GEOMETRY, ["a"]) == {}
    cache.put(GEOMETRY, {"a": row(1, 2, 3, 4, 5)})


def test_a_full_disk_is_said_once_and_what_was_kept_stays(cache, path, monkeypatch):
    cache.put(GEOMETRY, {f"row {n}": FeatureRow(np.full(5, n / 3), seconds=n) for n in range(100)})
    pages = path.stat().st_size // cache_file._PAGE
    monkeypatch.setattr(cache_file, "_SETTINGS", (*cache_file._SETTINGS, f"PRAGMA max_page_count = {pages + 1}"))
    more = {f"row {n}": FeatureRow(np.full(5, n / 3), seconds=n) for n in range(100, 1000)}
    with pytest.warns(MatscoutWarning, match=f"the disk of {cache.folder} is full: features go on without"):
        cache.put(GEOMETRY, more)
    cache.put(GEOMETRY, more)
    found = cache.get(GEOMETRY, [f"row {n}" for n in range(2000)])
    assert len(found) == 100
    check(found, range(100))
    assert is_sound(path)


# --------------------------------------------------------------------------------------------------- shown and cleared


def test_contents_say_what_is_kept(cache):
    before = datetime.now(UTC) - timedelta(seconds=1)
    cache.put(GEOMETRY, {"a": row(1, 2, 3, 4, 5), "b": FeatureRow(np.full(5, np.nan), "no")})
    cache.put(Toy(cutoff=5.0, version=3), {"a": row(1, 2, 3)})
    geometry, toy = cache.contents()
    assert (geometry.featurizer, geometry.rows, geometry.errors, geometry.n_features) == ("geometry", 2, 1, 5)
    assert geometry.software.keys() == {"pymatgen-core", "spglib"}
    assert (toy.featurizer, toy.options, toy.version, toy.errors) == ("toy", {"cutoff": 5.0}, 3, 0)
    assert toy.key == Toy(cutoff=5.0, version=3).key
    assert toy.bytes == (cache.folder / f"{toy.key}.sqlite").stat().st_size
    assert before < toy.first_written <= toy.last_written <= datetime.now(UTC)
    assert before < toy.last_used


def test_clear_removes_what_is_named_and_returns_it(cache):
    for toy in (Toy("a"), Toy("a", version=2), Toy("b")):
        cache.put(toy, {"x": row(1, 2, 3)})
    assert [content.version for content in cache.clear(["a"])] == [1, 2]
    assert [content.featurizer for content in cache.contents()] == ["b"]
    assert len(cache.clear()) == 1
    assert {file.name for file in cache.folder.iterdir()} == {".lock", ".queue"}


def test_clear_removes_what_nobody_used_for_long(cache):
    for name in "abc":
        cache.put(Toy(name), {"x": row(1, 2, 3)})
    long_ago = time.time() - 40 * 86400
    for name in "ab":
        os.utime(cache.folder / f"{Toy(name).key}.sqlite", (long_ago, long_ago))
    assert list(cache.get(Toy("a"), ["x"])) == ["x"]  # used now
    assert [content.featurizer for content in cache.clear(older_than_days=30)] == ["b"]
    assert [content.featurizer for content in cache.contents()] == ["a", "c"]


def test_clear_of_everything_removes_damaged_files_too(cache, path):
    cache.folder.mkdir()
    path.write_text("damaged")
    with pytest.warns(MatscoutWarning, match="set aside"):
        assert cache.clear() == []
    assert {file.name for file in cache.folder.iterdir()} == {".lock", ".queue"}


def test_a_name_that_is_not_there_is_told_with_the_nearest(cache):
    with pytest.raises(UserError, match=r'nothing of a featurizer "geometri"\. It holds: nothing\.'):
        cache.clear(["geometri"])
    cache.put(GEOMETRY, {"a": row(1, 2, 3, 4, 5)})
    with pytest.raises(UserError, match=r"Did you mean geometry\?"):
        cache.clear(["geometri"])
    assert len(cache.contents()) == 1


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"MATSCOUT_CACHE": "/scratch/me"}, "/scratch/me/features"),
        ({"XDG_CACHE_HOME": "/caches"}, "/caches/matscout/features"),
        ({"HOME": "/home/me"}, "/home/me/.cache/matscout/features"),
    ],
    ids=["setting", "user's cache", "home"],
)
def test_the_folder_is_that_of_the_setting_or_the_users(monkeypatch, variables, folder):
    for name in ("MATSCOUT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    try:
        assert str(cache_folder()) == str(FeatureCache().folder) == folder
    finally:
        get_settings.cache_clear()
