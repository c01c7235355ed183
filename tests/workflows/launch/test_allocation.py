import pytest

from matscout.db.documents import now
from matscout.errors import UserError
from matscout.workflows.launch.allocation import (
    Allocation,
    Launch,
    LauncherEnd,
    LauncherStart,
    announce,
    launchers,
    read_allocation,
    write_allocation,
)

ALLOCATION = Allocation(id="a", launches=(Launch(folder="/x/1"),), seconds=60, commands={"vasp": "srun vasp_std"})


def start(name):
    return LauncherStart(launcher=name, allocation="a", host="here", pid=1, started=now())


def test_an_allocation_comes_back_as_it_was(tmp_path):
    write_allocation(tmp_path / "new", ALLOCATION)
    assert read_allocation(tmp_path / "new") == ALLOCATION


def test_no_allocation_is_said_so(tmp_path):
    with pytest.raises(UserError, match=r"no allocation at .*: No such file"):
        read_allocation(tmp_path)


def test_a_wrong_allocation_is_named_with_its_field(tmp_path):
    (tmp_path / "allocation.json").write_text('{"id": "a", "launches": [], "seconds": -1}')
    with pytest.raises(UserError, match=r"allocation\.json: seconds: .*greater than 0"):
        read_allocation(tmp_path)


def test_every_launcher_is_remembered(tmp_path):
    ended = announce(tmp_path, start("one"))
    second = announce(tmp_path, start("two"))
    assert (ended.name, second.name) == ("ended.json", "ended-2.json")
    end = LauncherEnd(launcher="one", reason="done", message="", ended=now())
    ended.write_text(end.model_dump_json())
    (one, its_end), (two, no_end) = launchers(tmp_path)
    assert (one.launcher, its_end, two.launcher, no_end) == ("one", end, "two", None)
