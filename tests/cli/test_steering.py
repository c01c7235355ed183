"""`matscout pause`, `resume`, `cancel`, `rerun`, `failures`, `logs`, `unlock`."""

import json
import os
import re
import sys
import time
from dataclasses import asdict

import pytest

from matscout.cli import main
from matscout.db import connect
from matscout.db.lease import Holder


def calcium(request):
    """Compounds of calcium find no end, and its element needs too much memory: the first is tried once."""
    species = set(request.geometry.species)
    return "input" if species == {"Ca", "F"} else "memory" if species == {"Rb", "F"} else None


def fail(centre, matscout):
    """Put a campaign on its queue, some of whose references fail, and others are given up."""
    matscout("submit", "--worker", "cluster")
    for _ in range(4):
        centre.work(calcium)
        matscout("advance")
    return centre


@pytest.fixture(scope="module")
def failed_once(tmp_path_factory, make_centre):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("failed")
        patch.chdir(folder)
        patch.setenv("PATH", f"{folder}/bin:/usr/bin:/bin")

        def run(*arguments):
            patch.setattr(sys, "argv", ["matscout", *arguments])
            with pytest.raises(SystemExit, match=r"^0$"):
                main()

        return fail(make_centre(folder, "slurm"), run)


@pytest.fixture
def failed(failed_once, command, monkeypatch):
    """A campaign with failures, only to be read."""
    monkeypatch.chdir(failed_once.folder)
    return failed_once


def groups(matscout, *arguments):
    return {group["cause"]: group for group in json.loads(matscout("failures", *arguments, "--json"))}


def test_failures_are_grouped_by_cause(matscout, failed):
    found = groups(matscout)
    assert (found["input"]["n_failed"], found["input"]["n_gave_up"]) == (found["input"]["n"], 0)
    assert (found["memory"]["n_failed"], found["memory"]["n_gave_up"]) == (0, found["memory"]["n"])
    assert found["memory"]["n_attempts"] > found["memory"]["n"]
    example = found["memory"]["example"]
    assert (example["formula"], example["evidence"]) == ("RbF", "log.txt: memory!")
    out = matscout("failures")
    total = sum(group["n"] for group in found.values())
    assert out.startswith(f"{total} calculations failed, {found['memory']['n']} given up after several attempts\n")
    assert f"memory      {found['memory']['n']} gave up, {found['memory']['n_attempts']} attempts in all\n" in out
    assert "  message   it failed by memory\n" in out
    assert "  evidence  log.txt: memory!\n" in out
    for command in found["memory"]["next"]:
        assert command in out
    assert found["memory"]["next"] == [
        f"matscout logs {example['calculation_id'][:8]}",
        "matscout rerun --cause memory",
    ]


@pytest.mark.parametrize(
    ("options", "formulas"),
    [
        (("--cause", "input"), {"CaF2"}),
        (("--formula", "FRb"), {"RbF"}),
        (("--formula", "Rb2F2"), {"RbF"}),
        (("--elements", "Ca,F"), {"CaF2"}),
        (("--elements", "F"), {"CaF2", "RbF"}),
        (("--elements", "F", "--cause", "memory"), {"RbF"}),
        (("--protocol", "chgnet-static"), {"CaF2", "RbF"}),
        (("--protocol", "gpaw-pbe"), set()),
        (("--elements", "Ca,Rb"), set()),
    ],
    ids=lambda given: "_".join(sorted(given)),
)
def test_failures_are_chosen(matscout, failed, options, formulas):
    found = groups(matscout, *options)
    assert {one["formula"] for group in found.values() for one in group["calculations"]} == formulas
    chosen = json.loads(matscout("rerun", *options, "--dry-run", "--json"))
    assert chosen == sorted(one["calculation_id"] for group in found.values() for one in group["calculations"])
    if not formulas:
        assert matscout("failures", *options).startswith("no failed calculation with ")
        assert "there is nothing to start again" in matscout("rerun", *options)


def test_every_failure_is_listed(matscout, failed):
    lines = matscout("failures", "--list", "--cause", "memory").splitlines()
    assert lines[1].split() == ["calculation", "of", "formula", "cause", "outcome", "attempts", "message"]
    assert "gave up" in lines[2]
    assert "it failed by memory" in lines[2]


def test_those_tried_again_are_not_called_failed(matscout, submitted):
    submitted.work(calcium)
    matscout("advance")
    out = matscout("failures")
    assert "given up" not in out
    assert re.search(r"\d more failed or broke off and are tried again: \d memory$", out.splitlines()[-1])
    assert set(groups(matscout)) == {"input"}


def test_without_failures_it_says_so(matscout, submitted):
    assert matscout("failures") == "no calculation failed\n"
    assert matscout("failures", "--json") == "[]\n"


def test_rerun_starts_the_chosen_ones_again(matscout, centre):
    fail(centre, matscout)
    memory = groups(matscout)["memory"]
    out = matscout("rerun", "--cause", "memory")
    number = f"{memory['n']} calculation{'s start' if memory['n'] > 1 else ' starts'} again"
    assert out == f"{number}, next: matscout advance small.yaml\n"
    assert "memory" not in groups(matscout)
    assert json.loads(matscout("advance", "--json"))["submitted"] == {"cluster": memory["n"]}
    centre.work()
    again = {one["calculation_id"] for one in memory["calculations"]}
    assert again <= set(json.loads(matscout("advance", "--json"))["completed"])


def test_rerun_by_the_beginning_of_an_id(matscout, centre):
    fail(centre, matscout)
    name = groups(matscout)["input"]["example"]["calculation_id"]
    assert json.loads(matscout("rerun", name[:10], "--json")) == [name]


MISTAKES = {
    "cause": (("rerun", "--cause", "memroy"), 'unknown cause "memroy": choose of memory, walltime, node, scf'),
    "cause of failures": (("failures", "--cause", "x"), "choose of memory"),
    "formula": (("rerun", "--formula", "Cs(("), '"Cs((" is no formula'),
    "no formula": (("rerun", "--formula", "__import__"), '"__import__" is no formula'),
    "element": (("failures", "--elements", "Cs,Xx"), '"Xx" is no element: write symbols with commas'),
    "id": (("rerun", "zzz"), "no failed calculation has an id that begins with zzz: matscout failures lists them"),
    "ambiguous id": (("rerun", ""), "failed calculations have ids that begin with : "),
    "logs": (("logs", "zzz"), "no calculation has the formula, or an id with the beginning, zzz"),
    "logs of a pattern": (("logs", ".*"), '".*" is no id of a calculation and no formula'),
    "resume": (("resume",), "small is not paused: matscout advance small.yaml moves it on"),
    "file": (("rerun", "--campaign", "smal.yaml"), "Did you mean small.yaml?"),
}


@pytest.mark.parametrize("what", list(MISTAKES))
def test_a_mistake_is_one_sentence(command, failed, what):
    arguments, words = MISTAKES[what]
    out, err = command(*arguments, code=2)
    assert words in err
    assert (out, err.count("\n"), err[:7]) == ("", 1, "error: ")


def test_a_paused_campaign_says_so_everywhere(matscout, submitted):
    submitted.work()
    out = matscout("pause")
    assert out.startswith("small is paused: 0 calculations are held back, what is in the queue goes on\n")
    out = matscout("advance")
    total = int(out.split(" completed")[0])
    assert f"small is paused, references: {total} of {total} done\n" in out
    assert out.splitlines()[-1] == "next: matscout resume small.yaml"
    assert "paused on cluster" in matscout("status")
    assert json.loads(matscout("advance", "--json"))["state"] == "paused"
    assert "small is paused already" in matscout("pause", code=2)
    err = matscout("submit", "--worker", "cluster", code=2)
    assert "campaign small is paused: matscout resume small.yaml lets it go on" in err
    assert matscout("resume").startswith("small goes on: 0 calculations may be submitted\n")
    assert matscout("advance").startswith("2 submitted to cluster\nround 0: 0 of 2 done")


def test_cancel_ends_the_jobs_and_keeps_what_they_did(matscout, submitted):
    out = matscout("cancel")
    assert out.startswith("1 job was cancelled, and small is paused\n")
    assert [job["state"] for job in submitted.jobs().values()] == ["cancelled"]
    assert "to be done again (not started)" in matscout("advance")
    assert matscout("cancel").startswith("no job of small is in the queue; it is paused\n")
    matscout("resume")
    assert "submitted to cluster" in matscout("advance")


@pytest.fixture
def twin(centre, matscout):
    """Two campaigns on the queue, of the same calculations, none of which has a job; return the file of the second."""
    centre.change(mood="full", jobs={"99": {"name": "another", "state": "waiting"}})
    file = centre.folder / "twin.yaml"
    file.write_text(centre.file.read_text().replace("name: small", "name: twin"))
    for name in ("small.yaml", "twin.yaml"):
        matscout("submit", name, "--worker", "cluster")
    centre.change(mood="well")
    return file


def submits(matscout, name):
    return json.loads(matscout("advance", name, "--json"))["submitted"]


@pytest.mark.parametrize("of", ["pause", "cancel"])
def test_a_paused_campaign_does_not_hold_back_what_another_needs(matscout, twin, of):
    assert "small" in matscout(of, "small.yaml")
    assert submits(matscout, "twin.yaml")["cluster"] > 1


def test_what_all_that_need_it_have_paused_is_held_back(matscout, twin):
    assert "small is paused: 0 calculations are held back" in matscout("pause", "small.yaml")
    number = int(matscout("pause", "twin.yaml").split("paused: ")[1].split()[0])
    assert number > 1
    assert submits(matscout, "twin.yaml") == submits(matscout, "small.yaml") == {}
    assert f"small goes on: {number} calculations may be submitted" in matscout("resume", "small.yaml")
    assert submits(matscout, "small.yaml") == {"cluster": number}


def test_a_campaign_submitted_later_needs_what_a_paused_one_holds_back(matscout, centre):
    centre.change(mood="full", jobs={"99": {"name": "another", "state": "waiting"}})
    matscout("submit", "small.yaml", "--worker", "cluster")
    matscout("pause", "small.yaml")
    centre.change(mood="well")
    (centre.folder / "twin.yaml").write_text(centre.file.read_text().replace("name: small", "name: twin"))
    assert "submitted to cluster" in matscout("submit", "twin.yaml", "--worker", "cluster")


def test_one_taken_from_the_queue_leaves_what_another_needs(matscout, twin):
    from matscout.workflows.campaign import steering

    matscout("pause", "twin.yaml")
    matscout("pause", "small.yaml")
    with connect(twin.parent / "matscout-store") as store, store.lease("a test"):
        campaign = store.collection("campaigns").find_one({"name": "small"})
        assert steering.take_back(store, campaign) == 0
    matscout("resume", "twin.yaml")
    assert submits(matscout, "twin.yaml")["cluster"] > 1


def test_cancel_says_what_it_could_not_reach(matscout, submitted):
    submitted.workers("slurm", "other")
    out = matscout("cancel")
    assert out.startswith("0 jobs were cancelled, and small is paused\n1 job was left: worker cluster is not in ")
    assert [job["state"] for job in submitted.jobs().values()] == ["waiting"]


def test_cancel_while_the_scheduler_is_down(matscout, submitted):
    submitted.change(mood="down")
    err = matscout("cancel", code=2)
    assert err.startswith("error: small is paused, but its jobs go on: ")
    assert err.endswith("Once it answers: matscout cancel small.yaml\n")


def test_one_that_has_ended_is_not_steered(matscout, submitted):
    for _ in range(3):
        submitted.work()
        matscout("advance")
    for what in ("pause", "resume", "cancel"):
        assert f"small has ended: there is nothing to {what}. See matscout results small.yaml" in matscout(what, code=2)
    assert matscout("rerun").startswith("no calculation of small failed: there is nothing to start again")


def test_logs_show_attempts_and_the_end_of_the_output(matscout, failed):
    name = groups(matscout)["memory"]["example"]["calculation_id"]
    out = matscout("logs", name[:8], "--lines", "1")
    assert f"chgnet-static, {name}: gave up: no attempt is left to its cause\n" in out
    assert "evidence: log.txt: memory!\n" in out
    assert "of worker cluster: completed" in out
    assert out.endswith("log.txt:\n  the last line\n")
    assert matscout("logs", "RbF", code=0) == out.replace("  the last line", "  first line\n  the last line")
    content = json.loads(matscout("logs", name, "--json"))
    assert (content["state"], content["attempts"][-1]["cause"]) == ("gave_up", "memory")
    assert len(content["jobs"]) == len(content["attempts"]) > 1


def test_logs_after_the_folder_was_cleaned_up(matscout, submitted):
    file = submitted.folder / "workers.yaml"
    file.write_text(file.read_text().replace("failed: nothing", "failed: all"))
    submitted.work(calcium)
    matscout("advance")
    out = matscout("logs", groups(matscout)["input"]["example"]["calculation_id"])
    assert "what it printed was removed, as the worker's cleanup says: " in out


def test_a_formula_may_have_parentheses(matscout, failed):
    assert "reference:RbF:" in matscout("logs", "(Rb)F")


def test_a_formula_needs_a_campaign(matscout, submitted):
    (submitted.folder / "twin.yaml").write_text(submitted.file.read_text().replace("name: small", "name: twin"))
    matscout("submit", "twin.yaml", "--worker", "cluster")
    err = matscout("logs", "RbF", code=2)
    assert "holds 2 campaigns: name the file, with --campaign, of one of small-" in err
    assert "reference:RbF:" in matscout("logs", "RbF", "--campaign", "twin.yaml")


def test_names_of_others_do_not_steer_the_terminal(matscout, centre):
    fail(centre, matscout)
    with connect(centre.folder / "matscout-store") as store:
        store.collection("calculations").update_many({}, {"$set": {"request.subject": "reference:\x1b[31m"}})
    name = groups(matscout)["memory"]["example"]["calculation_id"]
    for words in (("failures",), ("failures", "--list"), ("rerun", "--dry-run"), ("logs", name)):
        out = matscout(*words)
        assert "\x1b" not in out
        assert "reference:\\x1b[31m" in out


def test_words_of_schedulers_are_no_markup(monkeypatch):
    import io

    from matscout.cli.waiting import status

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with status("worker [/a] waits") as show:
        show("see [/etc/slurm/slurm.conf]\x07")
    assert "see [/etc/slurm/slurm.conf]\\x07" in terminal.getvalue()


def test_logs_of_several_name_them(matscout, failed):
    err = matscout("logs", "K", code=2)
    assert "several calculations are meant by K: " in err
    assert "(reference:K:" in err


def test_nobody_holds_the_store(matscout, submitted):
    assert matscout("unlock") == "nobody holds store matscout-store\n"


def test_a_living_holder_keeps_the_store(command, submitted):
    with connect(submitted.folder / "matscout-store") as store, store.lease("matscout watch small"):
        out, err = command("unlock", "--yes", code=2)
        assert store.holder() is not None
    assert f"command    matscout watch small\n  host       {os.uname().nodename} (this machine)\n" in out
    assert f"process    {os.getpid()}\n" in out
    assert f"that process lives, here: end it (kill {os.getpid()})" in err


def leave_lease(folder, **changes):
    content = asdict(Holder.myself("matscout advance small")) | changes
    (folder / "matscout-store" / "lease.json").write_text(json.dumps(content))


def test_a_dead_one_of_this_machine_is_let_go(matscout, submitted):
    leave_lease(submitted.folder)
    assert matscout("unlock").endswith("the store is free\n")
    assert not (submitted.folder / "matscout-store" / "lease.json").exists()


def test_one_of_another_machine_is_asked_about(matscout, submitted, monkeypatch):
    leave_lease(submitted.folder, host="login2", pid=77, since=time.time() - 3600)
    assert "is in use by" in matscout("pause", code=2)
    assert "look on login2 whether process 77 has ended; if" in matscout("unlock", code=2)
    assert matscout("unlock", "--yes").endswith("the store is free\n")
    matscout("pause")


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 2)], ids=["yes", "no"])
def test_the_answer_counts(matscout, submitted, monkeypatch, answer, code):
    import io

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    leave_lease(submitted.folder, host="login2", pid=77)
    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    out = matscout("unlock", code=code)
    assert ("the store is free" in out) is (code == 0)
    assert (submitted.folder / "matscout-store" / "lease.json").exists() is (code == 2)
