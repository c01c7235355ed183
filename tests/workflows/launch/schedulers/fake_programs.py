"""Programs of four schedulers that keep a job table in a file beside them, and speak as the real ones do.

One file under many names: what it is called by is what it does. The table says how the day goes: ``mood`` is "well",
"full", "down", "silent" (never answers), "refuses", "lost" (takes the job, and ends before it answers), or "at once"
(runs what it is given before it answers); ``accounting`` is true, false, or "fails". What it prints was taken from real
ones: Slurm 22.05 here, and other people's logs of the rest.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(sys.argv[0]).absolute().parent
TABLE = HERE / "table.json"


def load():
    return json.loads(TABLE.read_text())


def say(text, *, code=0, error=""):
    sys.stdout.write(text)
    sys.stderr.write(error)
    sys.exit(code)


def take(script, pattern):
    """Put a job into the table, and return its number."""
    table = load()
    number = str(table["next"])
    name = re.search(pattern, script, re.MULTILINE)[1]
    table["jobs"][number] = {"name": name, "state": "waiting"}
    table["next"] += 1
    TABLE.write_text(json.dumps(table))
    if table["mood"] == "lost":
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def cancel(numbers, unknown, code):
    table = load()
    complaints = []
    for number in numbers:
        job = table["jobs"].get(number.partition(".")[0])
        if job is None:
            complaints.append(unknown.format(number))
        else:
            job["state"] = "cancelled"
    TABLE.write_text(json.dumps(table))
    say("", code=code if complaints else 0, error="".join(f"{line}\n" for line in complaints))


def known(where="queue"):
    """Jobs that are still shown, or only in the accounting."""
    jobs = load()["jobs"]
    return {number: job for number, job in jobs.items() if job.get("where", "queue") == where}


# Slurm

SLURM = {
    "waiting": ("PENDING", 0, "Priority"),
    "held": ("PENDING", 0, "JobHeldUser"),
    "running": ("RUNNING", 0, "None"),
    "completed": ("COMPLETED", 0, "None"),
    "failed": ("FAILED", 3 << 8, "NonZeroExitCode"),
    "walltime": ("TIMEOUT", 15, "TimeLimit"),
    "memory": ("OUT_OF_MEMORY", 125, "OutOfMemory"),
    "node": ("NODE_FAIL", 1, "NodeDown"),
    "cancelled": ("CANCELLED", 15, "None"),
}
SLURM_REFUSAL = (
    "sbatch: error: invalid partition specified: none\n"
    "sbatch: error: Batch job submission failed: Invalid partition name specified\n"
)
POLICY = (
    "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size "
    "and/or time limits)\n"
)
UNREACHABLE = "Unable to contact slurm controller (connect failure)\n"


def sbatch(arguments, mood):
    if mood == "full":
        say("", code=1, error=f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{POLICY}")
    if mood == "unnamed limit":
        say("", code=1, error=POLICY)
    if mood == "too long":
        say("", code=1, error=f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{POLICY}")
    if mood == "down":
        say("", code=1, error=f"sbatch: error: Batch job submission failed: {UNREACHABLE}")
    if mood == "refuses":
        say("", code=1, error=SLURM_REFUSAL)
    number = take(Path(arguments[0]).read_text(), r"^#SBATCH --job-name=(.*)")
    if mood == "at once":
        subprocess.run(["bash", arguments[0]], cwd=Path(arguments[0]).parent, stdout=subprocess.DEVNULL, check=True)
        table = load()
        table["jobs"][number]["state"] = "completed"
        TABLE.write_text(json.dumps(table))
    say(f"Submitted batch job {number}\n")


def slurm_query(arguments, mood):
    if mood == "down":
        say("", code=1, error=f"slurm_load_jobs error: {UNREACHABLE}")


def squeue(arguments, mood):
    slurm_query(arguments, mood)
    lines = []
    for number, job in known().items():
        state, status, reason = SLURM[job["state"]]
        if "--format=%i" in arguments:
            lines.append(number)
        else:
            lines.append("|".join([number, state, str(status), reason, job["name"]]))
    say("".join(f"{line}\n" for line in lines))


def scontrol(arguments, mood):
    slurm_query(arguments, mood)
    lines = []
    for number, job in known("scontrol").items():
        state, status, reason = SLURM[job["state"]]
        lines.append(
            f"JobId={number} JobName={job['name']} UserId=somebody({os.getuid()}) GroupId=g(0) MCS_label=N/A "
            f"JobState={state} Reason={reason} Dependency=(null) Requeue=0 ExitCode={status >> 8}:{status & 127} "
            "Command=/some where/job.sh"
        )
    say("".join(f"{line}\n" for line in lines) or "No jobs in the system\n")


def sacct(arguments, mood):
    accounting = load().get("accounting")
    if not accounting:
        say("", code=1, error="Slurm accounting storage is disabled\n")
    if accounting == "fails":
        say("", code=1, error="sacct: error: Problem talking to the database: Connection refused\n")
    wanted = next((x.partition("=")[2].split(",") for x in arguments if x.startswith(("--jobs=", "--name="))), [])
    lines = []
    for number, job in known("accounting").items():
        state, status, _ = SLURM[job["state"]]
        state += " by 1000" if state == "CANCELLED" else ""
        if number in wanted or job["name"] in wanted:
            lines.append(f"{number}|{state}|{status >> 8}:{status & 127}|{job['name']}")
    say("".join(f"{line}\n" for line in lines))


def scancel(arguments, mood):
    slurm_query(arguments, mood)
    cancel(arguments, "scancel: error: Kill job error on job id {}: Invalid job id specified", 1)


# PBS

PBS = {
    "waiting": ("Q", None, "Not Running: Insufficient amount of resource: ncpus"),
    "held": ("H", None, "Job held by user on Mon Mar  2 10:00:00 2026"),
    "running": ("R", None, "Job run at Mon Mar 02 at 10:00 on (n01:ncpus=4)"),
    "completed": ("F", 0, "Job run at Mon Mar 02 at 10:00 on (n01:ncpus=4) and finished"),
    "failed": ("F", 3, "Job run at Mon Mar 02 at 10:00 on (n01:ncpus=4) and failed"),
    "walltime": ("F", -29, "Job run at Mon Mar 02 at 10:00 on (n01:ncpus=4) and exceeded resource walltime"),
    "memory": ("F", -27, "Job run at Mon Mar 02 at 10:00 on (n01:ncpus=4) and exceeded resource mem"),
    "node": ("F", -3, "Job run at Mon Mar 02 at 10:00 on (n01:ncpus=4) and failed"),
    "cancelled": ("F", 271, "Job run at Mon Mar 02 at 10:00 on (n01:ncpus=4) and terminated"),
}
SERVER = "pbs01.cluster"
PBS_DOWN = f"Connection refused\n{{}}: cannot connect to server {SERVER} (errno=15010)\n"


def qsub(arguments, mood):
    script = Path(arguments[0]).read_text()
    (grid_qsub if load()["kind"] == "sge" else pbs_qsub)(script, mood)


def pbs_qsub(script, mood):
    if mood == "full":
        say("", code=38, error="qsub: would exceed queue generic's per-user limit of jobs in 'Q' state\n")
    if mood == "down":
        say("", code=2, error=PBS_DOWN.format("qsub"))
    if mood == "refuses":
        say("", code=188, error="qsub: Job violates queue and/or server resource limits\n")
    say(f"{take(script, r'^#PBS -N (.*)')}.{SERVER}\n")


def qselect(arguments, mood):
    if mood == "down":
        say("", code=2, error=PBS_DOWN.format("qselect"))
    name = arguments[arguments.index("-N") + 1]
    say("".join(f"{number}.{SERVER}\n" for number, job in known().items() if job["name"] == name))


def qstat(arguments, mood):
    (grid_qstat if load()["kind"] == "sge" else pbs_qstat)(arguments, mood)


def pbs_qstat(arguments, mood):
    if mood == "down":
        say("", code=2, error=PBS_DOWN.format("qstat"))
    if mood == "no history" and "-x" in arguments:
        say("", code=1, error="qstat: PBS is not configured to maintain job history\n")
    jobs, text, complaints = known(), "", ""
    for asked in (one for one in arguments if not one.startswith("-")):
        job = jobs.get(asked.partition(".")[0])
        if job is None:
            complaints += f"qstat: Unknown Job Id {asked}\n"
            continue
        state, code, comment = PBS[job["state"]]
        if mood == "no history" and state == "F":
            complaints += f"qstat: {asked} Job has finished, use -x or -H to obtain historical job information\n"
            continue
        text += f"Job Id: {asked}\n    Job_Name = {job['name']}\n    Job_Owner = somebody@login\n"
        text += f"    job_state = {state}\n    queue = workq\n    Variable_List = PBS_O_HOME=/home/somebody,\n"
        text += "\tPBS_O_WORKDIR=/scratch/somebody\n"
        # real ones break the line after 78 characters
        line = f"    comment = {comment}"
        text += "\n\t".join(line[k : k + 76] for k in range(0, len(line), 76)) + "\n"
        text += f"    Exit_status = {code}\n" if code is not None else ""
        text += "    Submit_arguments = job.sh\n\n"
    say(text, code=153 if complaints else 0, error=complaints)


def qdel(arguments, mood):
    if load()["kind"] == "sge":
        if mood == "down":
            say("", code=1, error=GRID_DOWN)
        cancel(arguments, 'denied: job "{}" does not exist', 1)
    if mood == "down":
        say("", code=2, error=PBS_DOWN.format("qdel"))
    cancel(arguments, "qdel: Unknown Job Id {}", 153)


# Grid Engine

GRID_DOWN = (
    "error: commlib error: got select error (Connection refused)\n"
    'error: unable to contact qmaster using port 6444 on host "master"\n'
)
GRID = {
    "waiting": "qw",
    "held": "hqw",
    "running": "r",
}
# what qacct says: failed, exit status, wallclock
GRID_ENDED = {
    "completed": ("0", "0", "120s"),
    "failed": ("0", "3", "120s"),
    "walltime": ("37  : qmaster enforced h_rt, h_cpu, or h_vmem limit", "137                  (Killed)", "3602s"),
    "memory": ("37  : qmaster enforced h_rt, h_cpu, or h_vmem limit", "137                  (Killed)", "80s"),
    "node": ("21  : in recognizing job", "0", "0s"),
    "cancelled": ("100 : assumedly after job", "137                  (Killed)", "60s"),
}


def grid_qsub(script, mood):
    if mood == "full":
        words = "Unable to run job: job rejected: only 100 jobs are allowed per user (current job count: 100)"
        say("", code=25, error=f"{words}\nExiting.\n")
    if mood == "down":
        say("", code=1, error=GRID_DOWN.replace("error: unable", "Unable to run job: unable"))
    if mood == "refuses":
        say("", code=1, error='Unable to run job: unknown resource "gpu"\nExiting.\n')
    number = take(script, r"^#\$ -N (.*)")
    say(f'Your job {number} ("{load()["jobs"][number]["name"]}") has been submitted\n')


def grid_qstat(arguments, mood):
    if mood == "down":
        say("", code=1, error=GRID_DOWN)
    parts = {"running": "", "pending": ""}
    for number, job in known().items():
        if job["state"] not in GRID:
            continue
        letters = job.get("letters", GRID[job["state"]])
        part = "running" if letters in {"r", "dr", "s", "S"} else "pending"
        parts[part] += (
            f'    <job_list state="{part}">\n      <JB_job_number>{number}</JB_job_number>\n'
            f"      <JAT_prio>0.50500</JAT_prio>\n      <JB_name>{job['name']}</JB_name>\n"
            f"      <JB_owner>somebody</JB_owner>\n      <state>{letters}</state>\n      <slots>1</slots>\n"
            "    </job_list>\n"
        )
    say(
        "<?xml version='1.0'?>\n<job_info  xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\">\n"
        f"  <queue_info>\n{parts['running']}  </queue_info>\n"
        f"  <job_info>\n{parts['pending']}  </job_info>\n</job_info>\n"
    )


def qacct(arguments, mood):
    accounting = load().get("accounting", True)
    if not accounting:
        file = "/opt/sge/default/common/accounting: No such file or directory\n"
        say("no jobs running since startup\n", code=1, error=file)
    if accounting == "fails":
        say("", code=1, error="error: failed reading accounting file: Stale file handle\n")
    text = ""
    for number, job in {**known(), **known("accounting")}.items():
        if job["state"] not in GRID_ENDED:
            continue
        failed, code, wall = GRID_ENDED[job["state"]]
        deleted = "somebody@login" if job["state"] == "cancelled" else "NONE"
        text += (
            "==============================================================\n"
            f"qname        all.q\nhostname     n01\nowner        somebody\njobname      {job['name']}\n"
            f"jobnumber    {number}\ntaskid       undefined\nstart_time   Wed Mar 23 13:33:31 2026\n"
            f"deleted_by   {deleted}\nfailed       {failed}\nexit_status  {code}\nru_wallclock {wall}\n"
            "category     -u somebody -l h_rt=3600,h_vmem=4096M -pe smp 4\n"
        )
    say(text)


# LSF

LSF = {
    "waiting": ("PEND", "-", "-"),
    "held": ("PSUSP", "-", "-"),
    "running": ("RUN", "-", "-"),
    "completed": ("DONE", "-", "-"),
    "failed": ("EXIT", "3", "-"),
    "walltime": ("EXIT", "140", "TERM_RUNLIMIT: job killed after reaching LSF run time limit"),
    "memory": ("EXIT", "137", "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit"),
    "node": ("ZOMBI", "-", "-"),
    "cancelled": ("EXIT", "130", "TERM_OWNER: job killed by owner"),
}
LSF_DOWN = "batch system daemon not responding ... still trying\n"


def bsub(arguments, mood):
    script = sys.stdin.read()
    if mood == "full":
        if os.environ.get("LSB_NTRIES") != "1":
            time.sleep(600)  # it tries again for ever
        say("", code=255, error="User <somebody>: Pending job threshold reached. Retrying in 60 seconds...\n")
    if mood == "down":
        sys.stderr.write(LSF_DOWN)
        sys.stderr.flush()
        time.sleep(60)
    if mood == "refuses":
        say("", code=255, error="none: No such queue. Job not submitted.\n")
    number = take(script, r"^#BSUB -J (.*)")
    say(f"Job <{number}> is submitted to default queue <normal>.\n")


def bjobs(arguments, mood):
    if mood == "down":
        say("", code=255, error="LSF is down. Please wait ...\n")
    numbers = [one for one in arguments if one.isdigit()]
    named = arguments[arguments.index("-J") + 1] if "-J" in arguments else None
    jobs, text, complaints = known(), "", ""
    for number in numbers or [n for n, job in jobs.items() if job["name"] == named]:
        if number not in jobs:
            complaints += f"Job <{number}> is not found\n"
            continue
        state, code, reason = LSF[jobs[number]["state"]]
        text += "^".join([number, state, code, jobs[number]["name"], reason]) + "\n"
    if named and not text:
        complaints = f"Job <{named}> is not found\n"
    say(text, code=255 if complaints else 0, error=complaints)


def bkill(arguments, mood):
    if mood == "down":
        say("", code=255, error="LSF is down. Please wait ...\n")
    cancel(arguments, "Job <{}>: No matching job found", 255)


if __name__ == "__main__":
    today = load()["mood"]
    if today == "silent":
        time.sleep(60)
    globals()[Path(sys.argv[0]).name](sys.argv[1:], today)
