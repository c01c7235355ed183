"""`matscout submit`, `advance`: a campaign on a cluster whose scheduler is played by programs with a job table."""

import json
import os
import subprocess
import sys

import pytest

from matscout.db import connect


def advance(matscout):
    return json.loads(matscout("advance", "--json"))


def test_from_submit_to_the_end(matscout, centre):
    out = matscout("submit", "--worker", "cluster")
    total = int(out.split(" submitted to cluster")[0])
    assert f"references: 0 of {total} done; jobs of cluster: 1 submitted" in out
    assert "next: matscout advance small.yaml, or matscout watch small.yaml" in out
    assert matscout("advance").startswith("nothing has changed\n")
    centre.work()
    assert matscout("advance").startswith(f"{total} completed; 2 submitted to cluster\nround 0: 0 of 2 done")
    assert "queued on cluster" in matscout("status")
    assert matscout("results") == "no candidate stands on a hull yet: round 0: 0 of 2 done\n"
    while not (found := advance(matscout))["stopped"]:
        centre.work()
    assert (found["state"], found["stage"], found["done"], found["total"]) == ("finished", "finished", 3, 3)
    assert matscout("advance").splitlines()[0] == "nothing has changed"
    assert "small has ended: the budget of 3 calculations is used" in matscout("advance")
    assert "cubic-perovskite" in matscout("results")


def test_the_end_says_what_was_found(matscout, submitted):
    for _ in range(2):
        submitted.work()
        matscout("advance")
    submitted.work()
    out = matscout("advance")
    assert "small has ended" in out
    assert "within 25 meV/atom of the hull with 3 calculations" in out
    assert out.splitlines()[-1] == "next: matscout results small.yaml"


def test_a_second_submission_is_a_step(matscout, submitted):
    out = matscout("submit", "--worker", "cluster")
    assert out.startswith("small is on cluster already: this was a step, as matscout advance takes one\n")
    assert len(submitted.jobs()) == 1


def test_a_campaign_moves_to_another_worker(matscout, submitted):
    submitted.workers("slurm", "cluster", "other")
    out = matscout("submit", "--worker", "other")
    assert out.startswith("small moves from cluster to other: 0 calculations that waited; what its jobs have stays")
    submitted.work()
    assert advance(matscout)["submitted"] == {"other": 2}


def test_what_waits_moves_along(matscout, centre):
    centre.workers("slurm", "cluster", "other")
    centre.change(mood="full", jobs={"99": {"name": "another", "state": "waiting"}})
    assert matscout("submit", "--worker", "cluster").startswith("nothing has changed\n")
    assert "QOSMaxSubmitJobPerUserLimit" in matscout.err
    centre.change(mood="well")
    assert "nothing was submitted" in matscout("submit", "--worker", "other", "--dry-run")
    out = matscout("submit", "--worker", "other")
    moved = int(out.split("other: ")[1].split(" calculations")[0])
    assert f"{moved} submitted to other" in out


def test_one_that_ran_on_this_machine_goes_on_there(matscout, centre):
    from matscout.workflows.campaign.files import read_spec
    from matscout.workflows.campaign.loop import Campaign, StoppedError

    with connect(centre.folder / "matscout-store") as store, pytest.raises(StoppedError):
        Campaign(read_spec(centre.file), store, stopping=lambda: True).run()
    err = matscout("advance", code=2)
    assert "was not submitted, it runs on this machine: matscout run small.yaml goes on here" in err
    out = matscout("submit", "--worker", "cluster")
    assert out.startswith("small ran on this machine so far: what it calculated is kept, the rest goes to cluster\n")


# spglib 2.7 on what pymatgen does
@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_one_on_a_queue_is_not_run_here_at_the_same_time(matscout, submitted):
    err = matscout("run", code=2)
    assert "campaign small is on the queue of worker cluster: matscout watch small.yaml follows it there" in err
    matscout("cancel")
    assert "of its calculations are in jobs" in matscout("run", code=2)
    matscout("advance")
    out = matscout("run")
    assert out.startswith("small is taken from the queue of worker cluster, and goes on here\n")
    assert "found" in out
    assert "finished" in matscout("status")


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_what_another_campaign_finished_here_is_not_submitted(matscout, centre):
    centre.change(mood="full", jobs={"99": {"name": "another", "state": "waiting"}})
    matscout("submit", "--worker", "cluster")
    twin = centre.folder / "twin.yaml"
    twin.write_text(centre.file.read_text().replace("name: small", "name: twin"))
    matscout("run", "twin.yaml")
    centre.change(mood="well")
    found = json.loads(matscout("advance", "small.yaml", "--json"))
    assert (found["submitted"], list(centre.jobs())) == ({}, ["99"])
    assert matscout("advance", "small.yaml").startswith("nothing has changed\nsmall has ended: ")


def test_a_second_process_says_so_and_leaves(command, submitted):
    with connect(submitted.folder / "matscout-store") as store, store.lease("matscout advance small"):
        out, err = command("advance")
        assert out == ""
        assert err.startswith('nothing was done: "matscout advance small" (host ')
        assert list(json.loads(command("advance", "--json")[0])) == ["busy"]
        assert "is in use by" in command("submit", "--worker", "cluster", code=2)[1]


def test_failures_are_in_every_summary(matscout, submitted):
    submitted.work(lambda request: "input" if "Ca" in request.geometry.species else None)
    assert "no reference of the element Ca could be calculated" in matscout("advance", code=2)
    rows = json.loads(matscout("status", "--json"))
    assert rows[0]["n_failed"] == rows[0]["causes"]["input"] > 1
    assert matscout("status").splitlines()[-1] == "what failed: matscout failures"


def test_given_up_counts_as_failed(matscout, submitted):
    def fails(request):
        return "memory" if set(request.geometry.species) == {"K", "Mg", "F"} else None

    submitted.work(fails)
    matscout("advance")
    for _ in range(5):
        submitted.work(fails)
        found = advance(matscout)
    assert found["stopped"]
    assert found["failures"] == {"memory": 1}
    (row,) = json.loads(matscout("status", "--json"))
    assert (row["n_failed"], row["n_gave_up"], row["n_calculated"]) == (1, 1, 3)
    words = "1 calculation failed: 1 memory (1 given up after several attempts). See them with: matscout failures"
    assert matscout("results").splitlines()[-1] == words
    story = matscout("explain", "KMgF3")
    assert "calculation  gave up after" in story
    assert "attempts (memory): it failed by memory" in story
    assert "more of it: matscout logs " in story


@pytest.mark.parametrize("kind", ["slurm", "pbs", "sge", "lsf"])
def test_a_dry_run_prints_the_whole_script_and_does_nothing(matscout, centre, monkeypatch, kind):
    for name in ("MATSCOUT_STORE", "MP_API_KEY", "AWS_SECRET_ACCESS_KEY", "SLURM_JWT"):
        monkeypatch.setenv(name, f"{centre.folder}/secret-of-mine")
    centre.workers(kind)
    out = matscout("submit", "--worker", "cluster", "--dry-run")
    assert "matscout.workflows.launch.node" in out
    assert "secret-of-mine" not in out
    assert out.splitlines()[-1] == "# nothing was submitted"
    subprocess.run(["bash", "-n"], input=out, text=True, check=True)
    found = json.loads(matscout("submit", "--worker", "cluster", "--dry-run", "--json"))
    assert out.startswith(found["script"])
    assert (found["scheduler"], found["stage"], found["jobs"]) == (kind, "references", 1)
    assert f"# references of small.yaml: {found['calculations']} calculations of chgnet-static in 1 such job" in out
    assert not (centre.folder / "scratch").exists()
    assert not (centre.folder / "matscout-store").exists()
    assert centre.jobs() == {}


def test_a_dry_run_counts_what_is_left(matscout, submitted):
    submitted.work()
    matscout("advance")
    found = json.loads(matscout("submit", "--worker", "cluster", "--dry-run", "--json"))
    assert (found["stage"], found["calculations"], found["jobs"]) == ("round 0", 0, 0)


@pytest.mark.parametrize("kind", ["pbs", "sge", "lsf"])
def test_other_schedulers_take_jobs(matscout, centre, kind):
    centre.become(kind)
    matscout("submit", "--worker", "cluster")
    assert len(centre.jobs()) == 1
    centre.work()
    assert advance(matscout)["stage"] == "round 0"


MISTAKES = {
    "unknown worker": (("submit", "--worker", "clutser"), 'unknown worker "clutser" in workers.yaml. Nearest: cluster'),
    "no file": (("submit", "smal.yaml", "--worker", "cluster"), "Did you mean small.yaml?"),
    "never submitted": (
        ("advance",),
        "was not submitted yet (there is no store in matscout-store): matscout submit",
    ),
    "watch": (("watch",), "campaign small was not submitted yet"),
    "no store": (("pause",), "there is no store in matscout-store"),
    "no workers file of that name": (("advance", "--workers", "w.yaml"), "no file of workers w.yaml here"),
}


@pytest.mark.parametrize("what", list(MISTAKES))
def test_a_mistake_is_one_sentence(command, centre, what):
    arguments, words = MISTAKES[what]
    out, err = command(*arguments, code=2)
    assert words in err
    assert (out, err.count("\n"), err[:7]) == ("", 1, "error: ")
    assert not (centre.folder / "matscout-store").exists()


def test_the_only_worker_that_takes_the_protocol_need_not_be_named(matscout, centre):
    assert " submitted to cluster" in matscout("submit")


def test_of_several_workers_one_must_be_named_unless_it_is_known(command, matscout, centre):
    centre.workers("slurm", "cluster", "other")
    _, err = command("submit", code=2)
    assert "several workers take protocol chgnet-static: name one with --worker (workers.yaml has cluster, oth" in err
    matscout("submit", "--worker", "other")
    assert "small is on other already" in matscout("submit")


def test_without_a_workers_file_it_says_what_one_looks_like(matscout, centre, monkeypatch):
    (centre.folder / "workers.yaml").unlink()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(centre.folder))
    err = matscout("submit", "--worker", "cluster", code=2)
    assert "write one such as cluster: {scheduler: slurm, partition: batch, walltime: 24:00:00, launch_folder:" in err
    example = err.split("write one such as ")[1]
    (centre.folder / "workers.yaml").write_text(example)
    assert matscout("workers").splitlines()[1].split()[:3] == ["cluster", "slurm", "batch"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cluster: [", "workers.yaml, line 1"),
        ("cluster: {scheduler: slurm}", "cluster.launch_folder and cluster.walltime are missing"),
    ],
)
def test_a_broken_workers_file_is_named(matscout, centre, text, words):
    (centre.folder / "workers.yaml").write_text(text)
    assert words in matscout("submit", "--worker", "cluster", code=2)


def test_a_worker_that_does_not_take_the_protocol(matscout, centre):
    file = centre.folder / "workers.yaml"
    file.write_text(file.read_text().replace("  walltime", "  protocols: [vasp-*, gpaw-*]\n  walltime"))
    err = matscout("submit", "--worker", "cluster", code=2)
    assert "worker cluster takes vasp-*, gpaw-*, and campaign small needs protocol chgnet-static" in err


def test_a_worker_that_has_gone_from_its_file(matscout, submitted):
    submitted.workers("slurm", "clustre")
    assert 'unknown worker "cluster" in workers.yaml. Nearest: clustre' in matscout("advance", code=2)


def test_a_changed_file_is_another_campaign(matscout, submitted):
    submitted.file.write_text(submitted.file.read_text().replace("[K, Rb]", "[K]"))
    err = matscout("advance", code=2)
    assert "was not submitted yet (store matscout-store holds small-" in err
    assert "a changed file is another campaign" in err


def test_a_worker_whose_jobs_calculate_nothing_gets_no_more_until_it_is_checked(matscout, submitted):
    for _ in range(3):
        submitted.change("failed")
        matscout("advance")
    number = len(submitted.jobs())
    assert number == 3
    matscout("advance")
    assert "nothing is submitted to worker cluster: none of its last jobs could calculate anything" in matscout.err
    assert matscout.err.rstrip().endswith("once it is put right: matscout workers check cluster")
    file, path = submitted.folder / "workers.yaml", os.pathsep.join(one for one in sys.path if one)
    file.write_text(file.read_text().replace("  walltime", f'  environment: {{PYTHONPATH: "{path}"}}\n  walltime'))
    submitted.change(mood="down")
    matscout("workers", "check", "cluster", code=2)
    submitted.change(mood="well")
    assert not advance(matscout)["submitted"]
    submitted.change(mood="at once")
    assert matscout("workers", "check", "cluster").endswith("worker cluster is ready\n")
    submitted.change(mood="well")
    assert advance(matscout)["submitted"]["cluster"] > 1


def test_a_store_that_is_not_there_yet_is_no_mistake(matscout, centre):
    (centre.folder / "matscout-store").mkdir()
    assert matscout("submit", "--dry-run").endswith("# nothing was submitted\n")
    assert "small" in matscout("validate")
    assert list((centre.folder / "matscout-store").iterdir()) == []
    assert "submitted to cluster" in matscout("submit")


def test_what_a_killed_run_left_is_settled_first(matscout, centre):
    from matscout.workflows.campaign.files import read_spec
    from matscout.workflows.campaign.loop import launch_folder
    from matscout.workflows.campaign.reference_plan import plan_references
    from matscout.workflows.campaign.stages import enumerate_space
    from matscout.workflows.launch.attempts import Attempts

    spec = read_spec(centre.file)
    requests = plan_references(spec, enumerate_space(spec).table, []).requests
    with connect(centre.folder / "matscout-store") as store:
        attempts = Attempts(store)
        attempts.want(requests[:1])
        attempts.begin(requests[0].id, launch_folder(store) / requests[0].id)
    assert matscout("submit", "--worker", "cluster").startswith(f"{len(requests)} submitted to cluster\n")
    before = json.loads(matscout("logs", requests[0].id, "--json"))["attempts"]
    assert [one["outcome"] for one in before] == ["interrupted", "running"]


def test_what_broke_off_on_a_worker_that_is_gone_moves_too(matscout, submitted):
    submitted.workers("slurm", "cluster", "other")
    matscout("submit", "--worker", "other")
    submitted.change("node", mood="full")
    assert "to be done again" in matscout("advance")
    submitted.workers("slurm", "other")
    submitted.change(mood="well")
    out = matscout("submit", "--worker", "other")
    assert out.startswith("small is on other already")
    assert "submitted to other" in out


# spglib 2.7 on what pymatgen does
@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_one_that_ended_on_a_queue_goes_on_here(matscout, submitted):
    for _ in range(3):
        submitted.work()
        matscout("advance")
    submitted.file.write_text(submitted.file.read_text().replace("calculations: 3", "calculations: 4"))
    assert "is taken from the queue" not in matscout("run")
    (row,) = json.loads(matscout("status", "--json"))
    assert (row["state"], row["worker"], row["n_calculated"]) == ("finished", None, 4)
    assert "it runs on this machine: matscout run small.yaml goes on here" in matscout("advance", code=2)
    assert "found" in matscout("run")


def test_a_scheduler_that_refuses_is_one_sentence(command, centre):
    centre.change(mood="refuses")
    _, err = command("submit", "--worker", "cluster", code=2)
    assert "Invalid partition name specified" in err
    centre.change(mood="well")
    assert "submitted to cluster" in command("advance")[0]


def test_a_scheduler_that_is_down_is_waited_for(matscout, centre):
    centre.change(mood="down")
    out = matscout("submit", "--worker", "cluster")
    assert "references: 0 of " in out
    assert "Unable to contact slurm controller" in matscout.err
