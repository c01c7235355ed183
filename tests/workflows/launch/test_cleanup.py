"""What stays in the folders of launches, and how long."""

from datetime import UTC, datetime, timedelta

import pytest

from matscout.db.documents import Attempt, Calculation, CalculationRequest, Geometry
from matscout.db.store import connect
from matscout.workflows.launch import cleanup as cleanup_module
from matscout.workflows.launch.allocations import AllocationRecord, Allocations
from matscout.workflows.launch.cleanup import clean_up, clean_up_allocation, sweep
from matscout.workflows.launch.worker_keys import Cleanup
from matscout.workflows.launch.workers_file import Worker

GEOMETRY = Geometry(lattice=((4, 0, 0), (0, 4, 0), (0, 0, 4)), species=("Cs",), coords=((0, 0, 0),))


def days_ago(days):
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


class Site:
    """Calculations "0", "1", ... with their folders, in a store."""

    def __init__(self, root, store):
        self.store = store
        self.allocations = Allocations(store)
        self.root = root / "s1"
        self.launch_folder = root

    def calculation(self, name, state, *, days=0.0, attempts=1, protocol="chgnet-relax", worker="w"):
        made = []
        job = f"job-of-{name}"
        self.allocations.add(
            AllocationRecord(id=job, worker=worker, name="ms", folder=str(self.root / "x"), calculations=(name,))
        )
        for number in range(1, attempts + 1):
            folder = self.root / name / str(number)
            folder.mkdir(parents=True)
            (folder / "WAVECAR.gz").touch()
            (folder / "OUTCAR").touch()
            made.append(
                Attempt(
                    number=number,
                    folder=str(folder),
                    allocation=job,
                    started="",
                    ended=days_ago(days),
                    outcome="interrupted",
                )
            )
        request = CalculationRequest(
            id=name, protocol=protocol, protocol_id="p", geometry=GEOMETRY, subject=f"candidate:{name}"
        )
        calculation = Calculation(request=request, state=state, attempts=tuple(made))
        self.store.collection("calculations").insert_one({"_id": name, **calculation.model_dump(mode="json")})
        return calculation

    def allocation(self, name, calculations, *, days=0.0, **fields):
        folder = self.root / "allocations" / name
        folder.mkdir(parents=True)
        given = {"state": "ended", "ended": days_ago(days), "launched": True, "job_state": "completed"} | fields
        given = {"worker": "w"} | given
        record = AllocationRecord(id=name, name=f"ms-{name}", folder=str(folder), calculations=calculations, **given)
        self.allocations.add(record)
        return record

    def sweep(self, **cleanup):
        given = {"name": "w", "scheduler": "slurm", "launch_folder": self.launch_folder, "walltime": "01:00:00"}
        sweep(self.store, self.allocations, Worker.model_validate({**given, "cleanup": cleanup}), "s1")

    def left(self):
        return sorted(path.name for path in (*self.root.iterdir(), *self.root.glob("allocations/*")))


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setattr(cleanup_module, "SWEEP_SECONDS", 0.0)
    with connect(tmp_path / "store") as store:
        yield Site(tmp_path / "scratch", store)


def test_of_a_completed_calculation_nothing_stays_earlier_attempts_included(site):
    clean_up(site.calculation("c", "completed", attempts=3), Cleanup())
    assert not (site.root / "c").exists()


@pytest.mark.parametrize("protocol", ["vasp-mp-gga", "gpaw-pbe", "one-that-is-no-more"])
def test_of_a_completed_one_by_density_functional_theory_the_outputs_stay(site, protocol):
    clean_up(site.calculation("c", "completed", protocol=protocol), Cleanup())
    site.sweep()
    assert [path.name for path in (site.root / "c" / "1").iterdir()] == ["OUTCAR"]
    site.sweep(completed="all")
    assert not (site.root / "c").exists()


def test_of_a_failed_one_large_files_go_and_its_outputs_stay(site):
    clean_up(site.calculation("c", "failed", attempts=2), Cleanup())
    assert sorted(str(path.relative_to(site.root)) for path in site.root.rglob("*") if path.is_file()) == [
        "c/1/OUTCAR",
        "c/2/OUTCAR",
    ]


def test_nothing_goes_where_nothing_is_to_go(site):
    clean_up(site.calculation("c", "completed"), Cleanup(completed="nothing"))
    assert len(list((site.root / "c" / "1").iterdir())) == 2


def test_an_allocation_goes_with_the_last_of_its_calculations(site):
    site.calculation("failed", "failed")
    kept, gone = site.allocation("kept", ("failed", "gone")), site.allocation("gone", ("gone",))
    for record in (kept, gone):
        clean_up_allocation(record)
    assert site.left() == ["allocations", "failed", "kept"]


def test_what_a_job_printed_that_could_not_calculate_stays_to_be_looked_at(site):
    clean_up_allocation(site.allocation("lost", ("c",), launched=False, job_state="failed"))
    clean_up_allocation(site.allocation("taken", ("c",), launched=False, job_state="cancelled"))
    assert site.left() == ["allocations", "lost"]


def test_failures_go_after_their_days_with_their_allocations(site):
    for name, days in (("old", 8.0), ("new", 6.0)):
        site.calculation(name, "gave_up", days=days)
        site.allocation(f"of-{name}", (name,), days=days)
        site.allocation(f"lost-{name}", (), days=days, launched=False, job_state="failed")
    site.sweep()
    assert len(site.left()) == 7
    site.sweep(failed_after_days=7)
    assert site.left() == ["allocations", "lost-new", "new", "of-new"]


def test_what_runs_or_is_not_known_is_left_alone_however_old(site):
    site.calculation("running", "running", days=99.0)
    site.calculation("waiting", "waiting", days=99.0)
    site.allocation("at-work", ("running",), days=99.0, state="submitted")
    (site.root / "someone-elses").mkdir()
    (site.root / "allocations" / "unknown").mkdir()
    site.sweep(failed_after_days=1)
    assert site.left() == ["allocations", "at-work", "running", "someone-elses", "unknown", "waiting"]


def test_what_two_workers_have_in_one_folder_goes_as_each_of_them_says(site):
    for worker in ("w", "other"):
        site.calculation(f"done-by-{worker}", "completed", worker=worker)
        site.calculation(f"failed-by-{worker}", "failed", days=8.0, worker=worker)
        site.allocation(f"of-{worker}", (f"failed-by-{worker}",), days=8.0, worker=worker)
    site.sweep(failed_after_days=7)
    assert site.left() == ["allocations", "done-by-other", "failed-by-other", "of-other"]


def test_what_a_crash_has_left_of_a_completed_calculation_goes(site):
    site.calculation("done", "completed")
    site.allocation("of-done", ("done",))
    site.sweep(completed="nothing")
    assert site.left() == ["allocations", "done", "of-done"]
    site.sweep()
    assert site.left() == ["allocations"]


def test_folders_are_listed_now_and_then_only(site, monkeypatch):
    monkeypatch.setattr(cleanup_module, "SWEEP_SECONDS", 3600.0)
    site.calculation("first", "completed")
    site.sweep()
    site.calculation("second", "completed")
    site.sweep()
    assert site.left() == ["second"]
