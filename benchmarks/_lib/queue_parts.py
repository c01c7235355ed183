"""What the benchmark of the queue is made of: calculations, a scheduler that costs nothing, a store of ten thousand."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from matscout.db.documents import (
    Attempt,
    Calculation,
    CalculationRequest,
    CalculationResult,
    Geometry,
    IonicStep,
    now,
)
from matscout.db.files import write_text
from matscout.db.labels import Label
from matscout.workflows.calculations.protocols import get_protocol
from matscout.workflows.launch.allocation import LauncherStart, announce, read_allocation
from matscout.workflows.launch.folders import RESULT, Claim, claim, read_request
from matscout.workflows.launch.schedulers import JobState
from matscout.workflows.launch.workers_file import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matscout.db.store import Store
    from matscout.workflows.launch.schedulers import AllocationRequest

WORKER = "node"
PROTOCOL = "chgnet-static"
N_STEPS = 10
"""Ionic steps of a result: as many as a relaxation of a small crystal has."""

CAMPAIGN = """\
name: perovskites
seed: 1
space:
  prototypes: [cubic-perovskite]
  elements:
    A: [Na, K, Rb, Cs]
    B: [Mg, Ca, Zn]
    X: [F, Cl]
  filters:
    - charge-neutrality
    - goldschmidt: {minimum: 0.60, maximum: 1.25}
protocol: chgnet-static
references: {source: computed, max_sites: 12}
surrogate: {name: xgboost, features: [magpie, sites]}
acquisition: {name: probability, threshold: 0.1}
budget: {calculations: 10000, first_batch: 10000}
"""


def requests(number: int) -> list[CalculationRequest]:
    """Return that many calculations of a perovskite, each of another volume."""
    protocol = get_protocol(PROTOCOL)
    sites = ((0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5))
    found = []
    for place in range(number):
        a = 3.9 + 0.4 * place / number
        geometry = Geometry(lattice=((a, 0, 0), (0, a, 0), (0, 0, a)), species=("K", "Mg", "F", "F", "F"), coords=sites)
        found.append(
            CalculationRequest.of(
                geometry, protocol=protocol.name, protocol_id=protocol.id, subject=f"candidate:{place:016x}"
            )
        )
    return found


def result_of(request: CalculationRequest) -> CalculationResult:
    """Return a result as a relaxation of a small crystal leaves it."""
    geometry = request.geometry
    step = IonicStep(
        energy=-20.0, max_force=0.01, lattice=geometry.lattice, coords=geometry.coords, forces=geometry.coords
    )
    return CalculationResult(
        id=request.id,
        protocol=request.protocol,
        protocol_id=request.protocol_id,
        subject=request.subject,
        formula=geometry.reduced_formula,
        outcome="completed",
        energy=-20.0,
        energy_per_atom=-4.0,
        geometry=geometry,
        initial_volume=13.0,
        final_volume=13.0,
        max_force=0.01,
        n_steps=N_STEPS,
        seconds=1.0,
        host="node",
        versions=get_protocol(PROTOCOL).versions(),
        steps=(step,) * N_STEPS,
    )


def worker(folder: Path, *, per_allocation: int) -> Worker:
    """Return a worker that packs so many calculations into a job, and has no limit of jobs."""
    return Worker(
        name=WORKER,
        scheduler="slurm",
        launch_folder=folder,
        walltime="01:00:00",
        per_allocation=per_allocation,
        max_queued=100_000,
    )


class FreeScheduler:
    """A scheduler that answers at once, and whose jobs are over when `finish` has written their results."""

    def __init__(self) -> None:
        self.folders: dict[str, Path] = {}
        self._states: dict[str, JobState] = {}

    def __call__(self, _worker: Worker) -> FreeScheduler:
        """Stand in for `make_scheduler`."""
        return self

    def script(self, request: AllocationRequest) -> str:
        """Write a script that holds the name alone."""
        return f"#!/bin/sh\n# {request.name}\n"

    def submit(self, script: Path) -> str:
        """Take a job."""
        number = str(len(self.folders) + 1)
        self.folders[number] = script.parent
        self._states[number] = JobState(number, script.read_text().split()[-1], "running")
        return number

    def jobs(self, ids: Sequence[str], _names: Sequence[str] = ()) -> dict[str, JobState]:
        """Tell of all jobs."""
        return {number: self._states[number] for number in ids}

    def finish(self) -> None:
        """Do what nodes do: claim each launch folder, and write its result."""
        for number, folder in self.folders.items():
            start(folder)
            for launch in read_allocation(folder).launches:
                place = Path(launch.folder)
                assert claim(place, Claim(launcher="l", host="n", pid=1, started=now()))
                write_text(place / RESULT, result_of(read_request(place)).model_dump_json())
            self._states[number] = JobState(number, self._states[number].name, "completed")


def start(folder: Path) -> None:
    """Let the launcher of an allocation begin."""
    announce(folder, LauncherStart(launcher="l", allocation=read_allocation(folder).id, host="n", pid=1, started=now()))


def keep_ended(store: Store, campaign: str, done: Sequence[CalculationRequest]) -> None:
    """Write down calculations that completed, as candidates of a campaign with their labels."""
    calculations = []
    for request in done:
        attempt = Attempt(number=1, folder="/scratch/gone/1", started=now(), ended=now(), outcome="completed")
        result = result_of(request).model_copy(update={"steps": ()})
        calculation = Calculation(request=request, state="completed", attempts=(attempt,), result=result)
        document = calculation.model_dump(mode="json")
        document["result"].pop("steps")
        calculations.append({"_id": request.id, **document})
    labels = [{**_label(request).model_dump(mode="json"), "campaign": campaign} for request in done]
    with store.transaction():
        store.collection("calculations").insert_many(calculations)
        store.collection("labels").insert_many([{"_id": f"{campaign}/{one['candidate_id']}", **one} for one in labels])


def keep_candidates(store: Store, campaign: str, chosen: Sequence[CalculationRequest]) -> None:
    """Write down candidates that were chosen."""
    documents = [
        {
            "_id": f"{campaign}/{request.subject.removeprefix('candidate:')}",
            "campaign": campaign,
            "candidate_id": request.subject.removeprefix("candidate:"),
            "formula": "KMgF3",
            "prototype": "cubic-perovskite",
            "round": 0,
            "calculation_id": request.id,
        }
        for request in chosen
    ]
    store.collection("candidates").insert_many(documents)


def _label(request: CalculationRequest) -> Label:
    versions = get_protocol(PROTOCOL).versions()
    return Label(
        candidate_id=request.subject.removeprefix("candidate:"),
        calculation_id=request.id,
        formula="KMgF3",
        prototype="cubic-perovskite",
        round=0,
        formation_energy=-3.0,
        e_above_hull=float(int(request.subject.removeprefix("candidate:"), 16)) / 1e4,
        decomposition_energy=0.0,
        decomposition={"KF": 0.4, "MgF2": 0.6},
        within_threshold=False,
        prototype_kept=True,
        hull_version="0" * 16,
        competitors={"1": 3, "2": 2},
        protocol=request.protocol,
        protocol_id=request.protocol_id,
        correction="none",
        versions=versions,
    )


def slurm_that_costs_nothing(folder: Path) -> dict[str, str]:
    """Write an `sbatch` and a `squeue` whose jobs run for ever; return the environment that finds them first.

    So that it is our own time which is measured, and no daemon is needed.
    """
    folder.mkdir()
    number, table = folder / "number", folder / "table"
    number.write_text("0")
    table.touch()
    programs = {
        "sbatch": f"n=$(($(cat {number}) + 1)); echo $n >{number}\n"
        f'name=$(sed -n "s/^#SBATCH --job-name=//p" "$1"); echo "$n|RUNNING|0|None|$name" >>{table}\n'
        'echo "Submitted batch job $n"',
        "squeue": f"cat {table}",
    }
    for name, lines in programs.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{lines}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
