from __future__ import annotations

import subprocess
import sys

import pytest

from matscout.workflows import stability


@pytest.mark.parametrize("name", stability.__all__)
def test_every_public_name_is_there(name):
    assert getattr(stability, name).__name__ == name
    assert name in dir(stability)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Hul'"):
        _ = stability.Hul


def test_a_hull_needs_no_spglib_queue_or_model():
    code = "import sys; from matscout.workflows.stability import Hull; print([m for m in {} if m in sys.modules])"
    foreign = ["spglib", "jobflow", "torch", "fireworks", "maggma", "xgboost", "pymatgen.core.structure_matcher"]
    done = subprocess.run([sys.executable, "-c", code.format(foreign)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
