"""Inputs that commands read rows from: files, folders, standard input, a campaign's space, a store."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matscout.featurizers.parts import Part, Source


def listed_names(features: Sequence[str]) -> list[str]:
    """Names separated by commas or given one by one.

    Examples
    --------
    >>> listed_names(["magpie,sites", " soap "])
    ['magpie', 'sites', 'soap']
    """
    return [name.strip() for one in features for name in one.split(",") if name.strip()]


@contextmanager
def open_source(given: str, column: str | None) -> Iterator[Source]:
    """Rows of a file or a folder, of standard input, of a campaign's space, or of a store."""
    from matscout.db.store import FILE
    from matscout.featurizers.sources import formulas_in, read_source

    if given == "-":
        yield formulas_in(sys.stdin.read().splitlines(), "standard input")
    elif given.endswith((".yaml", ".yml")):
        yield _campaign_source(Path(given))
    elif "://" in given or (Path(given) / FILE).is_file():
        with _store_source(given) as source:
            yield source
    else:
        yield read_source(given, column=column)


def _campaign_source(file: Path) -> Source:
    from matscout.featurizers.parts import source_of
    from matscout.workflows.campaign.files import read_spec
    from matscout.workflows.campaign.stages import enumerate_space

    return replace(source_of(enumerate_space(read_spec(file)).table), name=str(file))


@contextmanager
def _store_source(uri: str) -> Iterator[Source]:
    """Crystals that a store's calculations started from: what was known before they were calculated."""
    from matscout.db import connect
    from matscout.db.documents import Geometry
    from matscout.featurizers.parts import CrystalPart, Source

    with connect(uri, read_only=True, must_exist=True) as store:
        calculations = store.collection("calculations")
        n_rows = calculations.count_documents({})
        if not n_rows:
            raise UserError(f"store {store.display_uri} holds no calculation yet")

        def read(size: int) -> Iterator[Part]:
            ids = sorted(str(document["_id"]) for document in calculations.find({}, {"_id": 1}))
            for start in range(0, len(ids), size):
                chosen = ids[start : start + size]
                found = {str(one["_id"]): one for one in calculations.find({"_id": {"$in": chosen}})}
                documents = [found[name] for name in chosen]
                crystals = [Geometry.model_validate(one["request"]["geometry"]).to_structure() for one in documents]
                yield CrystalPart(crystals, chosen, _columns(documents))

        yield Source("crystals", read, n_rows, name=f"store {store.display_uri}")


def _columns(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Say what calculations are for, and what came of them: columns beside the features."""
    import numpy as np

    energies = [(one.get("result") or {}).get("energy_per_atom") for one in documents]
    return {
        "subject": np.array([str(one["request"]["subject"]) for one in documents]),
        "protocol": np.array([str(one["request"]["protocol"]) for one in documents]),
        "state": np.array([str(one["state"]) for one in documents]),
        "energy_per_atom": np.array([np.nan if energy is None else energy for energy in energies], dtype=float),
    }
