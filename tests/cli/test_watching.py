"""`matscout watch`: a campaign is moved on until it has ended, beside other processes."""

import io
import re
from contextlib import ExitStack

import pytest
from rich.console import Console

from matscout.cli import watching
from matscout.db import connect


@pytest.fixture
def rests(monkeypatch):
    """Do something in the place of each pause between two steps; return how long they would have been."""
    lengths = []

    def set_(*actions):
        left = iter(actions)

        def rest(seconds):
            lengths.append(seconds)
            next(left)()

        monkeypatch.setattr(watching, "_rest", rest)
        return lengths

    return set_


def interrupt():
    raise KeyboardInterrupt


def test_it_goes_on_to_the_end_in_plain_lines(matscout, submitted, rests):
    lengths = rests(*[submitted.work] * 10)
    out = matscout("watch", "--every", "5")
    first, *lines = out.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  references: 0 of \d+ done; jobs of cluster: 1 waiting", first)
    assert "completed; 2 submitted to cluster; round 0: 0 of 2 done; jobs of cluster: 1 submitted" in lines[0]
    assert re.search(r"best \w+ 0\.\d{3} eV/atom above the hull$", lines[1])
    assert "small has ended: the budget of 3 calculations is used" in out
    assert lines[-1] == "next: matscout results small.yaml"
    assert "\x1b" not in out
    assert lengths == [5.0, 5.0, 5.0]


def test_a_step_that_changes_nothing_prints_nothing(command, submitted, rests):
    rests(lambda: None, lambda: None, interrupt)
    out, _ = command("watch", code=130)
    assert len(out.splitlines()) == 2
    assert out.endswith("stopped watching; what is in the queue goes on. Later: matscout advance small.yaml\n")


def test_between_two_steps_others_may_write(command, submitted, rests):
    def write():
        with connect(submitted.folder / "matscout-store") as store, store.lease("another"):
            pass
        raise KeyboardInterrupt

    rests(write)
    command("watch", code=130)


def test_a_step_of_another_process_is_waited_for(command, submitted, rests):
    with ExitStack() as stack:
        store = stack.enter_context(connect(submitted.folder / "matscout-store"))
        lease = stack.enter_context(store.lease("matscout advance small"))
        lengths = rests(lease.release, interrupt)
        out, _ = command("watch", "--every", "300", code=130)
    lines = out.splitlines()
    assert 'waiting for "matscout advance small" (host ' in lines[0]
    assert "references: 0 of " in lines[0]
    assert "waiting for" not in lines[1]
    assert lengths == [watching.BUSY_SECONDS, 300.0]


def test_failures_and_notes_are_shown(command, submitted, rests):
    def fail():
        submitted.work(lambda request: "input" if set(request.geometry.species) == {"Ca", "F"} else None)

    def down():
        submitted.change(mood="down")

    rests(fail, down, interrupt)
    out, _ = command("watch", code=130)
    lines = out.splitlines()
    assert re.search(r"failed for good; .*failed: \d input", lines[1])
    assert "Unable to contact slurm controller" in lines[2]


def test_a_paused_campaign_is_still_watched(command, matscout, submitted, rests):
    matscout("pause")
    rests(submitted.work, interrupt)
    out, _ = command("watch", code=130)
    assert "small is paused, references: 0 of " in out.splitlines()[0]
    assert "completed; " in out.splitlines()[1]


def test_a_mistake_ends_it_in_one_sentence(command, submitted, rests):
    rests(lambda: submitted.work(lambda request: "input" if "Ca" in request.geometry.species else None))
    _, err = command("watch", code=2)
    assert err.startswith("error: no reference of the element Ca could be calculated")


def test_a_terminal_gets_a_table(command, submitted, rests, monkeypatch):
    seen = io.StringIO()
    screen = Console(file=seen, force_terminal=True, width=120)
    monkeypatch.setattr(watching, "console", lambda: screen)
    rests(*[submitted.work] * 10)
    out, _ = command("watch")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.getvalue())
    for words in (
        "campaign     small, queued, store matscout-store",
        "jobs         cluster: 1 submitted",
        "best so far",
        "last step    ",
        "next step    in 1 min 0 s   (Ctrl-C leaves; what is in the queue goes on)",
    ):
        assert words in text
    assert "small has ended" in out
