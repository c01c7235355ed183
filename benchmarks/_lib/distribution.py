"""Features of whole spaces, and on more than one worker."""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from pathlib import Path

from matscout.featurizers import FeatureMatrix, featurize

N_CRYSTALS = 2_000
REPEATS = 3
MOST_SECONDS = 60  # for the elpasolites
MOST_MEGABYTES = 2_000
LEAST_RATIO = 1.7  # of two workers to one


def print_elpasolites(elements: list[str]) -> list[str]:
    """Write Magpie and site features of 987,012 elpasolites to Parquet, enumerated part by part.

    Returns
    -------
    What is not as it should be.
    """
    from matscout.workflows.enumeration import iterate_candidates

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "elpasolites.parquet"
        featurize(iterate_candidates("elpasolite", ["K", "Na", "Al", "F"]), ["magpie", "sites"])  # what is loaded once
        start = time.perf_counter()
        written = featurize(iterate_candidates("elpasolite", elements), ["magpie", "sites"], output=path)
        seconds = time.perf_counter() - start
        size = path.stat().st_size / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(
        f"{written.n_rows:,} elpasolites, {written.n_features} features (magpie, sites), enumerated and written to "
        f"Parquet ({size:.0f} MB): {seconds:.1f} s, {written.n_rows / seconds:,.0f} rows/s, peak memory {peak:.0f} MB"
    )
    missed = [] if seconds < MOST_SECONDS else [f"elpasolites: {seconds:.0f} s, less than {MOST_SECONDS} wanted"]
    if peak >= MOST_MEGABYTES:
        missed.append(f"elpasolites: {peak:.0f} MB of memory, less than {MOST_MEGABYTES} wanted")
    return missed


def print_workers(crystals: list[object]) -> list[str]:
    """Time one dask worker and two on the same crystals, and compare the numbers with those of this process.

    Returns
    -------
    What is not as it should be.
    """
    from matscout.featurizers.clients import connected

    crystals = [crystals[i % len(crystals)] for i in range(N_CRYSTALS)]
    serial = featurize(crystals, "voronoi", cache=False)
    medians = {}
    equal = True
    for n_workers in (1, 2):
        with connected(f"local:{n_workers}") as client:
            featurize(crystals[:64], "voronoi", client, cache=False)  # its processes load what they need
            runs = [_timed(crystals, client, serial) for _ in range(REPEATS)]
        medians[n_workers] = statistics.median(seconds for seconds, _ in runs)
        equal = equal and all(same for _, same in runs)
        print(f"dask workers: {n_workers}; {N_CRYSTALS} crystals, voronoi: {medians[n_workers]:.1f} s")
    ratio = medians[1] / medians[2]
    print(f"two workers over one: {ratio:.2f} times as fast, numbers {'equal to the last bit' if equal else 'DIFFER'}")
    missed = [] if equal else ["workers: numbers are not those of one process"]
    if ratio < LEAST_RATIO:
        missed.append(f"workers: two are {ratio:.2f} times as fast as one, {LEAST_RATIO} at least wanted")
    return missed


def _timed(crystals: list[object], client: object, serial: FeatureMatrix) -> tuple[float, bool]:
    """Seconds, and whether the numbers are the same."""
    start = time.perf_counter()
    matrix = featurize(crystals, "voronoi", client, cache=False)
    seconds = time.perf_counter() - start
    return seconds, matrix.values.tobytes() == serial.values.tobytes()
