from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core.composition import Composition
from pymatgen.core.periodic_table import DummySpecies, Element, Species

from matscout.crystals.crystal import Crystal
from matscout.errors import UserError
from matscout.featurizers import StructureFeaturizer
from matscout.featurizers._row_frames import n_bytes, pack, row_message, row_of, unpack
from matscout.featurizers.base import CrystalFeaturizer, Featurizer
from matscout.featurizers.row_process import RowProcess
from matscout.featurizers.rows import InlineRunner

MISCHIEF = '''
import ctypes, os, signal, sys, time, warnings
import numpy as np
from matscout.errors import UserError
from matscout.featurizers.base import CrystalFeaturizer, RowFeaturizer


class Mischief(CrystalFeaturizer):
    units, citations, version, software = ("", ""), (), 1, ()
    feature_names = ("process", "sum")
    start_seconds = 0

    def __init__(self, name, **options):
        self.name, self.options = name, options

    def prepare(self):
        time.sleep(self.start_seconds)

    def featurize(self, row):
        getattr(self, self.name)()
        return np.array([os.getpid(), row.frac_coords.sum()])

    def sound(self): pass
    def sleeps_holding_the_interpreter(self): ctypes.PyDLL(None).sleep(600)
    def spins(self):
        while True: pass
    def segfaults(self): ctypes.string_at(0)
    def exits(self): os._exit(7)
    def is_killed(self): os.kill(os.getpid(), signal.SIGKILL)
    def leaves_a_child_behind(self):
        if os.fork():
            os._exit(3)
        time.sleep(600)
    def closes_everything(self): os.closerange(3, 1000); time.sleep(600)
    def interrupts(self): raise KeyboardInterrupt
    def leaves(self): sys.exit("enough")
    def has_no_memory(self): bytearray(10**15)
    def refuses(self): raise UserError("no such atom")
    def divides(self): 1 / 0
    def prints(self):
        warnings.warn("a warning")
        print("x" * 100_000)
        print("y" * 100_000, file=sys.stderr)
        for descriptor in (1, 2):
            os.write(descriptor, bytes(range(256)) * 300)
        sys.stdin.read()


class Slow(Mischief):
    start_seconds = 3


class Forgetful(Mischief):
    def __init__(self, name, **options):
        super().__init__(name)
        self.options = {} if options else {"more": 1}


class Echo(RowFeaturizer):
    """Hands back all numbers of a row."""

    units, citations, version, software = ("",) * 9, (), 1, ()
    feature_names = tuple("abcdefghi")
    takes = "crystals"

    def __init__(self, name, **options):
        self.name, self.options = name, options
        self.takes = name

    def featurize(self, row):
        if self.takes == "crystals":
            return row.lattice.ravel()
        return np.array([*row.values(), *[0.0] * 9][:9])
'''

DEATHS = {
    "sleeps_holding_the_interpreter": "longer than 1 s",
    "spins": "longer than 1 s",
    "segfaults": "its process ended with signal 11",
    "exits": "its process ended with exit code 7",
    "is_killed": "its process ended with signal 9 (often: out of memory)",
    "leaves_a_child_behind": "its process ended with exit code 3",
    "closes_everything": "its process closed its pipes",
}
ERRORS = {
    "interrupts": "KeyboardInterrupt",
    "leaves": "SystemExit: enough",
    "has_no_memory": "MemoryError",
    "refuses": "no such atom",
    "divides": "ZeroDivisionError: division by zero",
}


@pytest.fixture(scope="module")
def mischief(tmp_path_factory):
    """A module of featurizers, importable here, and so in children."""
    folder = tmp_path_factory.mktemp("mischief")
    (folder / "mischief_of_rows.py").write_text(MISCHIEF)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        import mischief_of_rows

        yield mischief_of_rows


@pytest.fixture(scope="module")
def process():
    with RowProcess(time_limit=60) as process:
        yield process


CRYSTAL = Crystal(4.0 * np.eye(3), np.array([[0.0, 0, 0], [0.5, 0.5, 0.25]]), np.array([55, 17]))


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_dies(pid):
    for _ in range(200):
        if not is_alive(pid):
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} still lives")


@pytest.mark.parametrize("deed", DEATHS)
def test_a_row_that_ends_its_process_is_alone_in_that(mischief, process, deed):
    before = process.run(mischief.Mischief("sound"), CRYSTAL)
    featurizer = mischief.Mischief(deed)
    if DEATHS[deed] == "longer than 1 s":
        featurizer.time_limit = 1
    row = process.run(featurizer, CRYSTAL)
    after = process.run(mischief.Mischief("sound"), CRYSTAL)
    assert np.isnan(row.values).tolist() == [True, True]
    assert row.error == DEATHS[deed]
    assert not row.lasting
    assert before.error is after.error is None
    assert before.values[1] == after.values[1] == 1.25
    assert before.values[0] != after.values[0]  # a new process
    assert_dies(int(before.values[0]))


def test_a_row_that_raises_leaves_the_process_as_it_is(mischief, process):
    rows = {deed: process.run(mischief.Mischief(deed), CRYSTAL) for deed in ("sound", *ERRORS)}
    assert rows.pop("sound").values[0] == process.run(mischief.Mischief("sound"), CRYSTAL).values[0]
    assert {deed: row.error for deed, row in rows.items()} == ERRORS
    assert {deed for deed, row in rows.items() if not row.lasting} == {"interrupts", "has_no_memory"}


def test_what_a_featurizer_prints_is_not_seen_and_harms_nothing(mischief, process, capfd):
    row = process.run(mischief.Mischief("prints"), CRYSTAL)
    assert row.error is None
    assert row.values[1] == 1.25
    assert capfd.readouterr() == ("", "")


def test_the_limit_of_the_featurizer_goes_before_that_of_the_process(mischief):
    featurizer = mischief.Mischief("spins")
    with RowProcess(time_limit=0.5) as process:
        assert process.run(featurizer, CRYSTAL).error == "longer than 0.5 s"
        featurizer.time_limit = 0.25
        assert process.run(featurizer, CRYSTAL).error == "longer than 0.25 s"


def test_the_time_of_a_row_begins_when_all_is_loaded(mischief, process):
    featurizer = mischief.Slow("sound")
    featurizer.time_limit = 2.5
    assert process.run(featurizer, CRYSTAL).error is None


def test_a_child_that_died_between_two_rows_is_replaced(mischief, process):
    pid = int(process.run(mischief.Mischief("sound"), CRYSTAL).values[0])
    os.kill(pid, signal.SIGKILL)
    while not process._child.has_ended:  # its threads end one after the other
        time.sleep(0.01)
    assert process.run(mischief.Mischief("sound"), CRYSTAL).error is None


def test_many_crystals_come_back_as_from_this_process_to_the_last_bit(crystals, process):
    rng = np.random.default_rng(4)
    featurizer = StructureFeaturizer("geometry")
    given = [Crystal.from_structure(crystals.random(rng)) for _ in range(10)]
    given += [Crystal.from_structure(crystals.symmetric(name)) for name in crystals.names]
    for crystal in given:
        apart, here = process.run(featurizer, crystal), InlineRunner().run(featurizer, crystal)
        assert apart.values.tobytes() == here.values.tobytes()
        assert apart.error == here.error


def test_numbers_that_are_none_and_tables_of_any_size_pass(mischief, process):
    lattice = np.array([[np.nan, np.inf, -0.0], [5e-324, 1 / 3, -np.inf], [1e308, -1e-308, 2.0]])
    large = Crystal(lattice, np.zeros((200_000, 3)), np.ones(200_000, dtype=np.int64))  # far more than a pipe holds
    assert process.run(mischief.Echo("crystals"), large).values.tobytes() == lattice.tobytes()
    row = process.run(mischief.Echo("compositions"), Composition({"Fe": 1 / 3, "O": 0.1 + 0.2}))
    assert row.values[:3].tolist() == [1 / 3, 0.1 + 0.2, 0]


def test_two_threads_may_share_a_process(mischief, process):
    rows = []
    threads = [
        threading.Thread(
            target=lambda: rows.extend(process.run(mischief.Mischief("sound"), CRYSTAL) for _ in range(50))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row.error for row in rows] == [None] * 100
    assert len({row.values[0] for row in rows}) == 1


def test_closing_ends_the_child_and_may_be_done_twice(mischief):
    process = RowProcess()
    process.close()
    pid = int(process.run(mischief.Mischief("sound"), CRYSTAL).values[0])
    process.close()
    process.close()
    assert not is_alive(pid)


def test_one_that_is_forgotten_takes_its_child_along(mischief):
    process = RowProcess()
    pid = int(process.run(mischief.Mischief("sound"), CRYSTAL).values[0])
    del process
    assert not is_alive(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody chooses")
def test_where_memory_ends_the_child_goes_before_its_parent(mischief, process):
    pid = int(process.run(mischief.Mischief("sound"), CRYSTAL).values[0])
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"


def test_a_limit_that_is_none_is_refused():
    with pytest.raises(UserError, match="must be positive, got 0 s"):
        RowProcess(0)


def test_a_row_of_the_wrong_kind_is_an_error_of_this_row(mischief, process):
    row = process.run(mischief.Mischief("sound"), "NaCl")
    assert row.error == "TypeError: a Crystal or a Composition is expected, got a str"


# what cannot start


class _Local(CrystalFeaturizer):
    name, options, version = "mine", {}, 1
    feature_names = units = citations = software = ()

    def featurize(self, row):
        return np.empty(0)


def test_a_class_that_no_other_process_finds_is_refused(process):
    featurizer = _Local()
    _Local.__module__ = "__main__"
    with pytest.raises(UserError, match="mine cannot be made in a process of its own: _Local is defined in a script"):
        process.run(featurizer, CRYSTAL)


def test_a_class_that_cannot_be_imported_is_refused(process):
    featurizer = _Local()
    _Local.__module__ = "no_such_module"
    with pytest.raises(UserError, match=r"_Local cannot be imported from no_such_module"):
        process.run(featurizer, CRYSTAL)


def test_a_class_that_forgets_its_options_is_refused(mischief, process):
    with pytest.raises(UserError, match="does it keep all of them"):
        process.run(mischief.Forgetful("sound"), CRYSTAL)


def test_only_featurizers_are_made_from_recipes():
    with pytest.raises(UserError, match="system of os is no class of featurizers"):
        Featurizer.from_recipe({"featurizer": "os:system", "name": "true", "options": {}})
    again = Featurizer.from_recipe(StructureFeaturizer("geometry").recipe())
    assert again.key == StructureFeaturizer("geometry").key


def test_a_process_that_does_not_start_says_why(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no library of that name >&2\nexit 4\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with (
        RowProcess() as process,
        pytest.raises(UserError, match="the process ended with exit code 4: no library of that name"),
    ):
        process.run(StructureFeaturizer("geometry"), CRYSTAL)


# parents that end

PARENT = """
import sys
import numpy as np
from multiprocessing import get_context
sys.path.append({folder!r})
from mischief_of_rows import Mischief
from matscout.crystals.crystal import Crystal
from matscout.featurizers.row_process import RowProcess

crystal = Crystal(4.0 * np.eye(3), np.zeros((1, 3)), np.array([55]))

def go(deed):
    with RowProcess() as process:
        print(int(process.run(Mischief("sound"), crystal).values[0]), flush=True)
        process.run(Mischief(deed), crystal)

if __name__ == "__main__":
    {call}
"""


def start_parent(mischief, tmp_path, call):
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(folder=str(Path(mischief.__file__).parent), call=call))
    return subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("deed", ["sleeps_holding_the_interpreter", "spins"])
def test_a_parent_that_is_killed_takes_its_child_along_in_the_middle_of_a_row(mischief, tmp_path, deed):
    with start_parent(mischief, tmp_path, f"go({deed!r})") as parent:
        pid = int(parent.stdout.readline())
        time.sleep(0.3)  # to be in the row
        assert is_alive(pid)
        parent.kill()
        assert_dies(pid)


def test_ctrl_c_ends_both(mischief, tmp_path):
    with start_parent(mischief, tmp_path, "go('spins')") as parent:
        pid = int(parent.stdout.readline())
        time.sleep(0.3)
        parent.send_signal(signal.SIGINT)
        _, said = parent.communicate(timeout=30)
        assert said.rstrip().endswith("KeyboardInterrupt")
        assert_dies(pid)


def test_a_daemonic_process_may_have_one(mischief, tmp_path):
    call = "p = get_context('spawn').Process(target=go, args=('sound',), daemon=True); p.start(); p.join()"
    with start_parent(mischief, tmp_path, call) as parent:
        out, said = parent.communicate(timeout=60)
        assert parent.returncode == 0, said
        assert_dies(int(out))


# messages

amounts = st.floats(1e-6, 1e6)
species = st.one_of(
    st.sampled_from([Element("Fe"), Element("D"), Element("Og")]),
    st.builds(Species, st.sampled_from(["Fe", "O", "D"]), st.floats(-8, 8), st.sampled_from([None, 1, 5])),
    st.builds(DummySpecies, st.just("Xa"), st.integers(-3, 3)),
)


@given(st.dictionaries(species, amounts, min_size=1, max_size=5))
def test_compositions_arrive_as_they_are(kinds):
    composition = Composition(kinds)
    arrived = row_of(*unpack(row_message({}, composition)))
    assert [*arrived.items()] == [*composition.items()]
    assert arrived.num_atoms == composition.num_atoms


@given(st.sampled_from([np.float64, np.float32, np.int64, np.uint8]), st.integers(0, 5), st.booleans())
def test_arrays_arrive_as_they_lie(dtype, n, turned):
    array = np.random.default_rng(n).integers(0, 255, (n, 3)).astype(dtype)
    array = array.T if turned else array
    message = pack({"a": [1]}, [array, array[:1]])
    assert n_bytes(message) == len(message)
    assert n_bytes(message[:15]) is None
    header, (arrived, part) = unpack(message)
    assert header == {"a": [1]}
    assert arrived.dtype == array.dtype
    assert arrived.tolist() == array.tolist()
    assert part.tolist() == array[:1].tolist()
    assert (arrived.strides == array.strides) or array.size <= 3
