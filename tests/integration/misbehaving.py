"""A user's own Maker whose calculations go wrong to order, on a node."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from jobflow import Maker, job

HALF_A_FILE = "import json; text = json.dumps({'energy': -7.0, 'forces': [0.0] * 999}); print(text[:len(text) // 2])"


@dataclass
class MisbehavingMaker(Maker):
    """Do what the plan says for this attempt, by default well; the folder of an attempt is its number.

    Attributes
    ----------
    plan
        What each attempt does, the last entry for all after it.
    """

    name: str = "misbehave"
    plan: list[str] = field(default_factory=list)

    @job
    def make(self, structure):
        """Misbehave, or give a task document."""
        number = int(Path.cwd().parent.name)
        what, _, argument = (self.plan[min(number, len(self.plan)) - 1] if self.plan else "well").partition(" ")
        {
            "well": lambda _: None,
            "allocate": lambda megabytes: bytearray(int(megabytes) << 20),
            "killed": lambda _: os.kill(os.getpid(), signal.SIGKILL),
            "sleep": lambda seconds: time.sleep(float(seconds)),
            "wait": _wait_for,
            "cut": _read_what_was_cut_off,
            "fill": _fill_the_disk,
        }[what](argument)
        step = {"structure": structure.as_dict(), "energy": -7.0, "forces": [[0.0] * 3] * len(structure)}
        return {"structure": structure.as_dict(), "input": {"steps": 0}, "output": {"ionic_steps": [step]}}


def _wait_for(path):
    while not Path(path).exists():
        time.sleep(0.05)


def _read_what_was_cut_off(_):
    with Path("output.txt").open("w") as output:
        subprocess.run(["python3", "-c", HALF_A_FILE], stdout=output, check=True)
    json.loads(Path("output.txt").read_text())


def _fill_the_disk(_):
    with Path("wavefunctions.dat").open("wb") as file:
        while True:
            file.write(bytes(1 << 20))
            file.flush()
