"""What every test needs."""

import os
import signal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

# Machines are noisy, and a first example pays for imports: no example has a time limit.
settings.register_profile("matscout", deadline=None)
settings.load_profile("matscout")

# Loading a calculator takes a worker longer than all calculations of most tests.
os.environ["MATSCOUT_WORKERS"] = "1"

# What is started in the background ignores Ctrl-C, and so would all that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test finds what another one, or the user, has kept.
_cache = TemporaryDirectory(prefix="matscout-cache-")
os.environ["MATSCOUT_CACHE"] = _cache.name


@pytest.fixture(scope="session")
def data():
    """Folder of the public data sets; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("MATSCOUT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the public data are not at {folder}: set MATSCOUT_DATA")
    return folder


TINY = """\
name: tiny
seed: 3
space:
  prototypes: [cubic-perovskite]
  elements:
    A: [Na, K, Rb, Cs]
    B: [Mg, Ca, Zn]
    X: [F, Cl]
protocol: chgnet-static
references:
  source: computed
  prototypes_per_stoichiometry: 1
budget:
  calculations: 16
  first_batch: 10
  batch: 3
"""


@pytest.fixture(scope="session")
def tiny_text():
    """The text of the tiny campaign's file."""
    return TINY


@pytest.fixture
def tiny_file(tmp_path):
    """A campaign of 24 candidates whose calculations take milliseconds."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def tiny(tiny_file):
    from matscout.workflows.campaign.files import read_spec

    return read_spec(tiny_file)


HALIDES = """\
name: halides
space:
  prototypes: [cubic-perovskite]
  elements: {A: [K, Rb, Cs], B: [Mg, Ca], X: [F]}
references: {source: computed, prototypes_per_stoichiometry: 1, prototypes_per_element: 1}
budget: {calculations: 6, first_batch: 6}
"""

# One that passes; imaginary vibrations; a lost prototype; a check that fails; far from the hull; a failed candidate.
MADE_UP = {"KMgF3": -2.2, "RbMgF3": -2.15, "CsMgF3": -2.1, "KCaF3": -2.05, "RbCaF3": -1.5, "CsCaF3": None}


class MadeUp:
    """Results made up for the campaign of halides, whose crystals shrink by a tenth, and what was asked for."""

    text = HALIDES

    def __init__(self):
        self.asked = []

    def __call__(self, request, _folder=None):
        from matscout.db.documents import CalculationResult, Geometry

        self.asked.append(request)
        structure = request.geometry.to_structure()
        structure.scale_lattice(0.9 * structure.volume)
        formula, check = request.geometry.reduced_formula, request.protocol.partition("-")[2]
        energy = MADE_UP.get(formula, -1.0 if len(set(request.geometry.species)) == 1 else -2.0)
        failed = energy is None or (formula, check) == ("KCaF3", "rattled")
        told = {"outcome": "failed", "cause": "input", "message": "made up to fail"}
        if not failed:
            told = {
                "outcome": "completed",
                "energy": energy * len(structure),
                "energy_per_atom": energy,
                "geometry": Geometry.from_structure(structure),
                "prototype_kept": True,
                "final_volume": structure.volume / len(structure),
                "space_group_before": 221,
                "space_group_after": 221,
                **self.checked(formula, check),
            }
        return CalculationResult(
            **request.model_dump(include={"id", "protocol", "protocol_id", "subject", "overrides", "adjustments"}),
            formula=formula,
            **told,
        )

    def checked(self, formula, check):
        from matscout.db.documents import DynamicStability

        cell = ((2, 0, 0), (0, 2, 0), (0, 0, 2))
        if check == "rattled":
            lost = formula == "CsMgF3"
            gain = 0.03 if lost else -0.0001
            found = DynamicStability(supercell=cell, energy_gain=gain, stable=not lost)
            energy = MADE_UP[formula] - gain
            return {"dynamics": found, "prototype_kept": not lost, "energy_per_atom": energy, "energy": 40 * energy}
        if check == "phonons":
            soft = formula == "RbMgF3"
            lowest = -2.5 if soft else 1.5
            return {
                "dynamics": DynamicStability(
                    supercell=cell, lowest_frequency=lowest, imaginary=3 if soft else 0, stable=not soft
                )
            }
        return {}

    def spec(self, **changes):
        import yaml

        from matscout.workflows.campaign.spec import CampaignSpec

        return CampaignSpec.model_validate(yaml.safe_load(HALIDES) | changes)

    def run(self, spec, store, **options):
        """Run a campaign whose every attempt is in the store, as those of workers are."""
        from matscout.workflows.campaign.loop import Campaign
        from matscout.workflows.launch.attempts import Attempts

        attempts = Attempts(store)

        def calculate(_stage, requests):
            for one in attempts.want(requests):
                attempts.begin(one.id, store.folder / one.id)
                attempts.take_in(one.id, self(one))
            return attempts.results(request.id for request in requests)

        return Campaign(spec, store)._run(calculate, **{"exhaustive": False} | options)


@pytest.fixture
def made_up():
    """Return results made up for a small campaign: some crystals found, of which some are unstable."""
    return MadeUp()
