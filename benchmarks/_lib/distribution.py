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


def print_elpasolites(elements: list[str]) -> None:
    """Write Magpie and site features of 987,012 elpasolites to Parquet, enumerated part by part."""
    from matscout.workflows.enumeration import iterate_candidates

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "elpasolites.parquet"
        featurize(iterate_candidates("elpasolite", ["K", "Na", "Al", "F"]), ["magpie", "sites"])  # what is loaded once
        start = time.perf_counter()
        written = featurize(iterate_candidates("elpasolite", elements), ["magpie", "sites"], output=path)
        seconds = time.perf_counter() - start
        size = path.stat().st_size / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{written.n_rows:,} elpasolites, {written.n_features} features (magpie, sites), enumerated and written to "
        f"Parquet ({size:.0f} MB): {seconds:.1f} s, {written.n_rows / seconds:,.0f} rows/s, peak memory {peak:.0f} MB"
    )


def print_workers(crystals: list[object]) -> None:
    """Time one dask worker and two on the same crystals, and compare the numbers with those of this process."""
    from matscout.featurizers.clients import connected

    crystals = [crystals[i % len(crystals)] for i in range(N_CRYSTALS)]
    serial = featurize(crystals, "voronoi", cache=False)
    medians = {}
    for n_workers in (1, 2):
        with connected(f"local:{n_workers}") as client:
            featurize(crystals[:64], "voronoi", client, cache=False)  # its processes load what they need
            times = [_timed(crystals, client, serial) for _ in range(REPEATS)]
        medians[n_workers] = statistics.median(times)
        print(f"dask workers: {n_workers}; {N_CRYSTALS} crystals, voronoi: {medians[n_workers]:.1f} s")
    ratio = medians[1] / medians[2]
    print(f"two workers over one: {ratio:.2f} times as fast, numbers equal to the last bit")


def _timed(crystals: list[object], client: object, serial: FeatureMatrix) -> float:
    start = time.perf_counter()
    matrix = featurize(crystals, "voronoi", client, cache=False)
    seconds = time.perf_counter() - start
    assert matrix.values.tobytes() == serial.values.tobytes()
    return seconds
