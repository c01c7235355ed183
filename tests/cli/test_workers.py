"""`matscout workers` lists workers, and finds out with a job what is wrong with one."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

# What sbatch is given runs at once, and is over when squeue is asked.
SBATCH = """\
#!/bin/sh
pwd >"$(dirname "$0")/where"
bash "$1" >scheduler.out 2>&1
echo Submitted batch job 7
"""
SQUEUE = "#!/bin/sh\necho '7|{state}|0|{reason}|ms-0'\n"
SCANCEL = '#!/bin/sh\necho "$@" >"$(dirname "$0")/cancelled"\n'


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A Slurm that plays along, and a file of workers; returns what sets the state of its job."""
    programs = tmp_path / "bin"
    programs.mkdir()

    def state(word, reason="None"):
        scripts = {"sbatch": SBATCH, "squeue": SQUEUE.format(state=word, reason=reason), "scancel": SCANCEL}
        for name, text in scripts.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        return programs

    state("COMPLETED")
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    write(tmp_path)
    return state


def write(folder, more=""):
    (folder / "workers.yaml").write_text(
        f"""\
cluster:
  scheduler: slurm
  partition: batch
  launch_folder: {folder}/my runs
  walltime: 24:00:00
  nodes: 2
  cores: 16
  memory: 64GB
  per_allocation: 50
  environment: {{PYTHONPATH: "{os.pathsep.join(path for path in sys.path if path)}"}}
  {more}
other: {{scheduler: pbs, launch_folder: {folder}, walltime: 01:00:00, at_once: 2, protocols: chgnet-*}}
"""
    )


@pytest.mark.parametrize("words", [(), ("list",)], ids=["bare", "list"])
def test_workers_are_listed(matscout, cluster, words):
    lines = matscout("workers", *words).splitlines()
    assert lines[0].split()[:3] == ["worker", "scheduler", "partition"]
    assert "2 nodes, 16 cores, 64 GB" in lines[1]
    assert "24 h 0 min" in lines[1]
    assert lines[2].split()[:2] == ["other", "pbs"]


def test_workers_are_listed_for_programs(matscout, cluster):
    rows = json.loads(matscout("workers", "list", "--json"))
    assert [(row["name"], row["walltime"]) for row in rows] == [("cluster", 86_400), ("other", 3_600)]


def test_without_a_file_it_says_where_it_looked(matscout, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert matscout("workers", code=2).startswith("error: there is no workers.yaml")


def test_a_worker_that_is_ready(matscout, cluster, tmp_path):
    out = matscout("workers", "check", "cluster")
    assert out.splitlines()[-1] == "worker cluster is ready"
    found = dict(line.split(maxsplit=1) for line in out.splitlines() if line.startswith(("job", "node", "modules")))
    assert found == {"job": "7", "node": os.uname().nodename, "modules": "all load"}
    assert "launch folder   seen from the node" in out
    assert [path.name for path in (tmp_path / "my runs" / "probes").iterdir()] == ["cluster.passed"]


def test_what_is_wrong_is_told_and_kept(matscout, cluster, tmp_path):
    write(tmp_path, f"modules: [no-such/1]\n  python: {tmp_path}/no python")
    err = matscout("workers", "check", "cluster", code=2)
    assert "problem: module no-such/1 does not load" in err
    assert "problem: no Python on the node: " in err
    assert "No such file or directory" in err
    folder = next((tmp_path / "my runs" / "probes").iterdir())
    assert f"all of it is in {folder}" in err
    assert (folder / "job.sh").exists()


def test_what_is_wrong_is_told_to_programs(command, cluster, tmp_path):
    write(tmp_path, "modules: [no-such/1]")
    out, _ = command("workers", "check", "cluster", "--json", code=2)
    report = json.loads(out)
    assert (report["job"], report["failed_modules"], report["sees_folder"]) == ("7", ["no-such/1"], True)
    assert report["problems"] == ["module no-such/1 does not load"]


def test_a_node_that_does_not_see_the_folder(matscout, cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("matscout.workflows.launch.schedulers.probe._LATE_SECONDS", 0.1)
    (cluster("FAILED", "NonZeroExitCode") / "sbatch").write_text("#!/bin/sh\necho Submitted batch job 7\n")
    err = matscout("workers", "check", "cluster", code=2)
    assert "the job left nothing in its launch folder: it failed (NonZeroExitCode): the node may not see" in err


@pytest.mark.parametrize(("reason", "words"), [("JobHeldUser", "it was held"), ("Priority", "it was waiting")])
def test_a_job_that_does_not_run_is_cancelled(matscout, cluster, tmp_path, reason, words):
    programs = cluster("PENDING", reason)
    (programs / "sbatch").write_text("#!/bin/sh\necho Submitted batch job 7\n")
    err = matscout("workers", "check", "cluster", "--wait", "1", code=2)
    assert f"problem: the job did not run in time: {words} ({reason}), and is cancelled now" in err
    assert (programs / "cancelled").read_text() == "7\n"


def test_a_scheduler_that_refuses_is_told(matscout, cluster):
    (cluster("COMPLETED") / "sbatch").write_text("#!/bin/sh\necho sbatch: error: no such account >&2; exit 1\n")
    err = matscout("workers", "check", "cluster", code=2)
    assert err.startswith("error: Slurm refuses a job of worker cluster")
    assert "no such account" in err


def test_a_dry_run_prints_the_script_and_submits_nothing(matscout, cluster, tmp_path):
    out = matscout("workers", "check", "cluster", "--dry-run")
    assert out.startswith("#!/bin/bash\n#SBATCH --job-name=ms-")
    assert "#SBATCH --time=00:01:00\n" in out
    assert not (tmp_path / "my runs").exists()
    subprocess.run(["bash", "-n"], input=out, text=True, check=True)


def test_an_unknown_worker(matscout, cluster):
    assert "Nearest: cluster" in matscout("workers", "check", "clutser", code=2)


def test_ctrl_c_cancels_the_job(cluster, tmp_path):
    programs = cluster("PENDING", "Priority")
    (programs / "sbatch").write_text("#!/bin/sh\necho Submitted batch job 7\n")
    (programs / "squeue").write_text('#!/bin/sh\ntouch "$(dirname "$0")/asked"\necho "7|PENDING|0|Priority|ms-0"\n')
    command = [sys.executable, "-c", "from matscout.cli import main; main()", "workers", "check", "cluster"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (programs / "asked").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "stopped, and the job is cancelled\n")
    assert (programs / "cancelled").read_text() == "7\n"
