"""Train the composition network on formation energies of the Materials Project, and write its scores as data.

    python benchmarks/composition_network.py [--members N] [--checkpoints FOLDER] [--show]

It learns the train part of critexam's Ef (Bartel et al., npj Comput. Mater. 6, 97 (2020),
doi:10.1038/s41524-020-00362-y) from the formulas alone and predicts the validation part, which it sees nothing of
before. After each member it writes the scores of the ensemble so far to benchmarks/data/composition_network.json, and
mean and std of each row of the validation part, as the network has them, before calibration, to
composition_network_val.csv.gz. A training that was interrupted goes on with the member that it was at. ``--show``
prints the scores that are there. The exit code is 1 if they miss the figure. The data is looked for in MATSCOUT_DATA,
else in ../shared/data beside the project.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import logging
import os
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import spearmanr

from matscout.models.networks.composition_network import CompositionNetwork

if TYPE_CHECKING:
    from matscout.models.prediction import Prediction

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("MATSCOUT_DATA", ROOT.parent / "shared" / "data"))
SCORES = ROOT / "benchmarks" / "data" / "composition_network.json"
PREDICTIONS = ROOT / "benchmarks" / "data" / "composition_network_val.csv.gz"

N_MEMBERS = 3
OPTIONS: dict[str, Any] = {
    "seed": 0,
    "epochs": 50,
    "batch_size": 256,
    "learning_rate": 2e-3,
    "weight_decay": 0.02,
    "width": 128,
    "n_layers": 2,
    "validation_part": 0.02,  # the schedule ends where it should; these rows only guard it
    "patience": 50,
    "device": "auto",
    "n_threads": 1,
}
TO_REACH = 0.060  # eV/atom
PUBLISHED = {"Roost": 0.0547, "CrabNet": 0.0593, "ElemNet": 0.0706, "random forest": 0.0997}
"""MAE on the test part in eV/atom; ours is on the validation part, which was drawn in the same way."""


def read_part(name: str) -> tuple[list[str], np.ndarray]:
    """Read formulas and formation energies in eV/atom of a part."""
    with gzip.open(DATA / "critexam" / f"Ef_{name}.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    return [row["formula"] for row in rows], np.array([float(row["target"]) for row in rows])


def scores_of(prediction: Prediction, target: np.ndarray) -> dict[str, float]:
    """Scores in eV/atom, and how far the error grows with the std."""
    error = prediction.mean - target
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "r2": float(1 - (error**2).mean() / target.var()),
        "spearman_error_std": float(spearmanr(np.abs(error), prediction.std).statistic),
        "covered_by_90": float(
            ((target >= prediction.interval(90)[0]) & (target <= prediction.interval(90)[1])).mean()
        ),
    }


def machine() -> str:
    """Name the processor, or the GPU, that trained."""
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, one thread"


def train(n_members: int, checkpoints: Path) -> None:
    """Train member by member, and write the scores of the ensemble so far after each."""
    import torch

    formulas, energies = read_part("train")
    unseen, truth = read_part("val")
    done = json.loads(SCORES.read_text()) if SCORES.is_file() else {}
    same = done.get("options") == OPTIONS
    members: list[dict[str, Any]] = done["members"] if same else []
    for number in range(1, n_members + 1):
        kept = set(checkpoints.glob("*"))
        started, processor = time.perf_counter(), time.process_time()
        surrogate = CompositionNetwork(n_members=number, checkpoints=str(checkpoints), **OPTIONS)
        surrogate.fit(formulas, energies)
        spent: dict[str, int | None] = {"wall_s": None, "processor_s": None}
        if set(checkpoints.glob("*")) != kept:  # else it was trained by a run that was interrupted
            spent["wall_s"] = round(time.perf_counter() - started)
            spent["processor_s"] = round(time.process_time() - processor)
        started = time.perf_counter()
        prediction = surrogate.predict(unseen)
        predicted_s = time.perf_counter() - started
        found = {name: round(value, 5) for name, value in scores_of(prediction, truth).items()}
        if number <= len(members):
            members[number - 1] |= found  # it was trained before: its time is that of then
        else:
            members.append(found | spent)
        document = {
            "task": "critexam Ef, train -> val, composition only, eV/atom",
            "rows": {"train": len(energies), "val": len(truth)},
            "options": OPTIONS,
            "members": members,
            "prediction_s": round(predicted_s, 1),
            "machine": machine(),
            "torch": str(torch.__version__),
            "to_reach": TO_REACH,
            "published_test": PUBLISHED,
        }
        write(document, prediction)
        print(f"ensemble of {number}: {members[number - 1]}", flush=True)


def write(document: dict[str, Any], prediction: Prediction) -> None:
    """Write scores and predictions."""
    SCORES.parent.mkdir(exist_ok=True)
    SCORES.write_text(json.dumps(document, indent=1) + "\n")
    lines = ["mean,std", *(f"{m:.5f},{s:.5f}" for m, s in zip(prediction.mean, prediction.std, strict=True))]
    with PREDICTIONS.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as file:
        file.write(("\n".join(lines) + "\n").encode())


def show() -> int:
    """Print the scores beside the published ones; 1 if they miss the figure."""
    if not SCORES.is_file():
        print(f"no {SCORES}: run without --show first")
        return 1
    document = json.loads(SCORES.read_text())
    print(f"{document['task']}: {document['rows']['train']} -> {document['rows']['val']} rows")
    print(f"{document['machine']}, torch {document['torch']}, {document['options']}")
    for number, one in enumerate(document["members"], start=1):
        took = ""
        if one["wall_s"] is not None:
            took = f"  the last one in {one['wall_s'] / 60:.0f} min ({one['processor_s'] / 60:.0f} min of a core)"
        print(
            f"  {number} members  MAE {one['mae']:.4f}  RMSE {one['rmse']:.4f}  R2 {one['r2']:.4f}  "
            f"error and std {one['spearman_error_std']:.2f}  in 90 % intervals {one['covered_by_90']:.3f}{took}"
        )
    print("  published (test part): " + ", ".join(f"{name} {mae}" for name, mae in document["published_test"].items()))
    best = document["members"][-1]["mae"]
    print(f"  to reach {document['to_reach']}: {'reached' if best <= document['to_reach'] else 'missed'}")
    return int(best > document["to_reach"])


def main() -> int:
    """Train, or show; 1 if the figure is missed."""
    parser = argparse.ArgumentParser(description="the composition network on critexam's formation energies")
    parser.add_argument("--members", type=int, default=N_MEMBERS)
    parser.add_argument("--checkpoints", type=Path, default=ROOT / "build" / "composition_network")
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    if not arguments.show:
        if not (DATA / "critexam").is_dir():
            print(f"skipped: no {DATA / 'critexam'}; name the folder of data by MATSCOUT_DATA")
            return 0
        logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO, stream=sys.stdout)
        train(arguments.members, arguments.checkpoints)
    return show()


if __name__ == "__main__":
    sys.exit(main())
