"""Scores beside what they are to reach and what was published: kept as data, and printed as a table."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import platform
import resource
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PACKAGES = ("matscout", "numpy", "scipy", "scikit-learn", "xgboost-cpu", "torch", "chgnet", "pymatgen")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One score.

    Attributes
    ----------
    task
        What is predicted from what, and how it is scored, with the unit.
    model
        Surrogate and features.
    score
        Ours.
    at_least, at_most
        What it is to reach; None where it is only reported.
    published
        Scores of others by name.
    seconds
        Wall time of the fit, or where there are folds of one of them on average; None where nothing is fitted.
    processor_seconds
        What the processors worked for that, on all threads together: what is left of `seconds` where the machine has
        other work.
    n_threads
        Threads of the fit.
    note
        What else is to be said.
    options
        Options of the surrogate.
    """

    task: str
    model: str
    score: float
    at_least: float | None = None
    at_most: float | None = None
    published: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    processor_seconds: float | None = None
    n_threads: int = 1
    note: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def wanted(self) -> str:
        """What it is to reach, in words; empty where it is only reported."""
        low = "" if self.at_least is None else f">= {self.at_least:.4g}"
        high = "" if self.at_most is None else f"<= {self.at_most:.4g}"
        return " ".join(part for part in (low, high) if part)

    @property
    def missed(self) -> bool:
        """Whether it is not what it is to be; a score that is no number is not."""
        high_enough = self.at_least is None or self.score >= self.at_least
        low_enough = self.at_most is None or self.score <= self.at_most
        return not (high_enough and low_enough)

    def line(self) -> str:
        """Say it in a line of the table."""
        verdict = ("MISSED" if self.missed else "reached") if self.wanted else "reported"
        spent = "" if self.seconds is None else f"fit {in_seconds(self.seconds)}"
        if spent and self.processor_seconds is not None:
            spent += f" ({in_seconds(self.processor_seconds)} of a core)"
        if spent:
            spent += f", {self.n_threads} thread{'s' if self.n_threads > 1 else ''}"
        more = "; ".join(part for part in (spent, self.note) if part)
        return f"  {self.model:52s} {self.score:9.4g}  {self.wanted:16s} {verdict:9s} {more}".rstrip()


class Clock:
    """Wall time and processor time of what is done in a `with`."""

    seconds = 0.0
    processor_seconds = 0.0

    def __enter__(self) -> Self:
        self._start = (time.perf_counter(), time.process_time())
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start[0]
        self.processor_seconds += time.process_time() - self._start[1]

    def spent(self) -> dict[str, float]:
        """Return both, as `Figure` takes them."""
        return {"seconds": self.seconds, "processor_seconds": self.processor_seconds}


def peak_memory() -> float:
    """Largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def print_figures(figures: Sequence[Figure]) -> list[str]:
    """Print the table, and return what is missed."""
    heading = None
    for one in figures:
        if one.task != heading:
            heading = one.task
            print(one.task)
            if one.published:
                scores = ", ".join(f"{name} {score:.4g}" for name, score in one.published.items())
                print(f"    published: {scores}")
        print(one.line(), flush=True)
    return [f"{one.task}: {one.model}: {one.score:.4g}, wanted {one.wanted}" for one in figures if one.missed]


def keep(path: Path, step: str, figures: Sequence[Figure], seconds: float, load: float) -> None:
    """Write the figures of a step into the file of all steps, with what they were computed on and with.

    Parameters
    ----------
    path
        The file; what it holds of other steps stays.
    step
        Its name.
    figures
        What it found.
    seconds
        What it took in all.
    load
        Processes that wanted a processor when it began, this one not counted.
    """
    kept = json.loads(path.read_text()) if path.is_file() else {}
    kept[step] = {
        "figures": [_rounded(asdict(one)) for one in figures],
        "machine": machine(),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "load_before": round(load, 1),
        "seconds": round(seconds, 1),
        "versions": versions(),
    }
    path.parent.mkdir(exist_ok=True)
    whole = path.with_suffix(f".{os.getpid()}")
    whole.write_text(json.dumps(kept, indent=1) + "\n")
    whole.replace(path)


def print_kept(path: Path, steps: Sequence[str]) -> list[str]:
    """Print the figures of all steps that were kept, and return what is missed or not there."""
    kept = json.loads(path.read_text()) if path.is_file() else {}
    missed = []
    for step in steps:
        if step not in kept:
            print(f"-- {step}: not computed yet")
            missed.append(f"{step}: no figures are kept")
            continue
        one = kept[step]
        busy = f", {one['load_before']:.0f} other processes running" if one["load_before"] >= 1 else ""
        print(f"-- {step}: {one['machine']}, {one['date']}, {one['seconds']:.0f} s in all{busy}")
        missed += print_figures([_figure(figure) for figure in one["figures"]])
    return missed


def machine() -> str:
    """Name the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def versions() -> dict[str, str]:
    """Versions of what computes."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def in_seconds(seconds: float) -> str:
    """Say a time."""
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def _figure(document: dict[str, Any]) -> Figure:
    """Take up a kept figure; a score that is none was no number."""
    return Figure(**document | {"score": math.nan if document["score"] is None else document["score"]})


def _rounded(value: Any) -> Any:
    """Six digits of each number, and None for what is none, which JSON does not have."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return value
