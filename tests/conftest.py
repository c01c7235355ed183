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
