"""Correction schemes: what may let energies of two protocols meet on one hull.

`calibration` and `comparison` need the hull, which needs the schemes, so they are not among the names here; the names
of all are in `matscout.workflows.stability`.
"""

from __future__ import annotations

from matscout.workflows.stability.blocks import NOT_STATED
from matscout.workflows.stability.schemes.base import Corrected, CorrectionScheme
from matscout.workflows.stability.schemes.enthalpies import FormationEnthalpy, read_enthalpies
from matscout.workflows.stability.schemes.fitted import FittedReferences
from matscout.workflows.stability.schemes.protocols import (
    MATERIALS_PROJECT,
    ids_by_protocol,
    names_of,
    protocol_of,
    protocols_of,
)
from matscout.workflows.stability.schemes.registry import (
    check_joinable,
    corrected_entries,
    get_scheme,
    register_scheme,
    scheme_names,
)

__all__ = [
    "MATERIALS_PROJECT",
    "NOT_STATED",
    "Corrected",
    "CorrectionScheme",
    "FittedReferences",
    "FormationEnthalpy",
    "check_joinable",
    "corrected_entries",
    "get_scheme",
    "ids_by_protocol",
    "names_of",
    "protocol_of",
    "protocols_of",
    "read_enthalpies",
    "register_scheme",
    "scheme_names",
]
