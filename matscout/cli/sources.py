"""Inputs that commands read rows from: files, folders, standard input, a campaign's space, a store."""

from __future__ import annotations

import csv
import gzip
import sys
import zlib
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

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
        with _csv_in_plain_words(Path(given)):
            source = read_source(given, column=column)
        yield source


def read_results(path: Path) -> pd.DataFrame:
    """Read results that stand apart from the rows they belong to, as CSV or Parquet with a column ``id``.

    Raises
    ------
    UserError
        There is no such file, it cannot be read, or it has no column ``id``.
    """
    import pandas as pd

    if not path.is_file():
        raise UserError(f"no file {path}")
    if path.name.lower().endswith((".csv", ".csv.gz")):
        with _csv_in_plain_words(path):
            try:
                frame = pd.read_csv(path, converters={"id": str}, index_col=False, low_memory=False)
            except (ValueError, OSError, EOFError, zlib.error) as error:
                raise UserError(f"{path} cannot be read as CSV: {error}") from error
    elif path.suffix.lower() == ".parquet":
        try:
            frame = pd.read_parquet(path)
        except (ValueError, OSError) as error:
            raise UserError(f"{path} cannot be read as Parquet: {error}") from error
    else:
        raise UserError(f"{path}: results are read from CSV or Parquet: its name must end in .csv or .parquet")
    if "id" not in frame.columns:
        raise UserError(f'{path} has no column "id", which says the row that each result belongs to')
    return frame


@contextmanager
def _csv_in_plain_words(path: Path) -> Iterator[None]:
    """Say what is wrong with a CSV file before pandas does, and what pandas says of its characters in plain words."""
    if path.name.lower().endswith((".csv", ".csv.gz")) and path.is_file():
        _check_header(path)
    try:
        yield
    except UserError as error:
        if "codec can't decode" in str(error):
            raise _not_utf8(path) from error
        raise


def _check_header(path: Path) -> None:
    opener: Any = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file), [])
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error
    except (OSError, EOFError, zlib.error, csv.Error):
        return  # who reads it whole says what is wrong
    if not any(name.strip() for name in names):
        raise UserError(f"{path} is empty: its first line must name the columns")
    if len(names) == 1 and names[0].count(";"):
        raise UserError(f"the columns of {path} are separated by semicolons: save it with commas")
    for name in names:
        if name.strip() and names.count(name) > 1:
            raise UserError(f'{path} has {names.count(name)} columns "{name}": rename or remove the others')


def _not_utf8(path: Path) -> UserError:
    return UserError(f"{path} is not written in UTF-8: save it as CSV UTF-8")


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
