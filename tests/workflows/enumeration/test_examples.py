from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = [
    "matscout.db._formulas",
    "matscout.db.candidates",
    "matscout.db.prototypes",
    *(
        f"matscout.workflows.enumeration.{name}"
        for name in (
            "decorate",
            "enumerate",
            "filters",
            "library",
            "neutrality",
            "oxidation",
            "rules",
            "tolerance",
            "volume",
        )
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name):
    failed, tried = doctest.testmod(import_module(name))
    assert tried > 0
    assert failed == 0
