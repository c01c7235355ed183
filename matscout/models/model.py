"""The whole chain from formulas, crystals or candidates to a calibrated prediction, kept in a folder with its card."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from matscout.db.files import write_text
from matscout.errors import UserError, warn
from matscout.featurizers.amounts import read_amounts
from matscout.featurizers.parts import Source, source_of
from matscout.models.calibration import CalibratedSurrogate
from matscout.models.inputs import CompositionInputs, CrystalInputs, FeatureInputs
from matscout.models.kept_files import check_fingerprints, check_form, fingerprints, read_json, reading
from matscout.models.labels import known_labels
from matscout.models.model_card import ModelCard, now, other_releases, package_versions
from matscout.models.predicted_rows import PredictedRows, spread
from matscout.models.registry import make_surrogate, surrogate_class
from matscout.models.training_data import PART_ROWS, read_training_data
from matscout.models.validation.cross_validation import summary_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from matscout.featurizers.base import Featurizer
    from matscout.featurizers.parts import Part
    from matscout.models.inputs import Inputs
    from matscout.models.training_data import TrainingData

CARD = "card.json"
_CALIBRATED = "surrogate"


class Model:
    """A trained surrogate with the features it needs and a card that says what it is.

    Parameters
    ----------
    surrogate
        Trained and calibrated.
    features
        Feature sets, where the surrogate learns from features.
    card
        What it is and where it comes from.

    Examples
    --------
    >>> formulas = ["NaCl", "KCl", "RbCl", "CsCl", "NaBr", "KBr", "RbBr", "CsBr", "NaI", "KI", "RbI", "CsI"]
    >>> energies = [-2.1, -2.2, -2.2, -2.2, -1.8, -2.0, -2.0, -2.0, -1.4, -1.6, -1.7, -1.8]  # eV/atom
    >>> model = train_model(formulas, energies, surrogate="extra_trees", features=["magpie"], target="formation energy")
    >>> model.predict(["LiCl", "LiI"])["mean"].shape
    (2,)
    """

    def __init__(self, surrogate: CalibratedSurrogate, features: Sequence[str | Featurizer], card: ModelCard) -> None:
        self.surrogate = surrogate
        self.features = tuple(features)
        self.card = card

    def predict(self, data: Any, client: Any = None) -> pd.DataFrame:
        """Predict all rows of an input.

        Parameters
        ----------
        data
            Formulas or structures in a list, a `CandidateTable`, or a `Source` of rows in a file.
        client
            Where features are made: see `matscout.featurizers.featurize`.

        Returns
        -------
        A row for each of the input: id, formula, mean and std in the unit of the target, the ends of the 90 %
        interval, the distance to the training data (above 1 is outside of the model's domain), and an error where the
        row cannot be predicted.
        """
        import pandas as pd

        parts = [rows.frame() for rows in self.iterate_predictions(data, client)]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def iterate_predictions(self, data: Any, client: Any = None) -> Iterator[PredictedRows]:
        """Predict part by part, for inputs longer than memory; rows of a part are numbered from 0 in its errors."""
        source = self._like_training(source_of(data))
        takes = self.surrogate.surrogate.takes
        if takes == "features":
            yield from self._from_features(source, client)
        elif takes == "crystals" and source.kind == "formulas":
            raise UserError(f"the model was trained on crystals: {source.name} holds formulas")
        else:
            for part in source.parts(PART_ROWS):
                inputs, errors = _compositions(part) if takes == "compositions" else _crystals(part)
                yield self._predicted(tuple(part.ids), tuple(part.formulas), inputs, errors)

    def _like_training(self, source: Source) -> Source:
        """Take candidates as crystals where the model has learnt from crystals: their sites have no roles."""
        if self.card.rows == "crystals" and source.kind == "candidates":
            return source.as_crystals()
        if self.card.rows == "candidates" and source.kind == "crystals" and "sites" in self.features:
            raise UserError(
                "the model was trained on candidates, whose sites have the roles of their prototype, and "
                f"{source.name} holds crystals, whose sites have none: train it on crystals, or leave the features "
                "sites out"
            )
        return source

    def _from_features(self, source: Source, client: Any) -> Iterator[PredictedRows]:
        from matscout.featurizers.matrix import iterate_features

        for matrix in iterate_features(source, list(self.features), client):
            errors = dict(matrix.errors)
            compositions = CompositionInputs.of_amounts(read_amounts(matrix.formulas)[0])
            inputs = FeatureInputs(matrix.values, matrix.names, matrix.versions, compositions)
            if getattr(self.surrogate.stage, "missing", None) == "refuse":
                for row in np.flatnonzero(np.isnan(matrix.values).any(axis=1)).tolist():
                    column = matrix.names[int(np.isnan(matrix.values[row]).argmax())]
                    errors.setdefault(row, f"the feature {column} is unknown, and the model refuses unknown features")
            yield self._predicted(matrix.ids, matrix.formulas, inputs, errors)

    def _predicted(
        self, ids: tuple[str, ...], formulas: tuple[str, ...], inputs: Inputs, errors: dict[int, str]
    ) -> PredictedRows:
        """Predict the rows without an error, and put NaN in the others' places."""
        if not errors:
            return PredictedRows(ids, formulas, self.surrogate.predict(inputs))
        good = np.ones(len(ids), dtype=bool)
        good[list(errors)] = False
        found = self.surrogate.predict(inputs.take(good))
        return PredictedRows(ids, formulas, spread(found, good), errors)

    def save(self, folder: str | os.PathLike[str], *, replace: bool = False) -> None:
        """Keep the model in a folder: its card, and what was learnt in native formats; whole or not at all.

        Raises
        ------
        UserError
            There is something of that name, and `replace` is not set, or it is no model.
        """
        place = Path(folder)
        check_place(place, replace=replace)
        temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.absolute().parent))
        try:
            self.surrogate.save(temporary / _CALIBRATED)
            card = self.card.model_copy(update={"files": fingerprints(temporary)})
            write_text(temporary / CARD, card.model_dump_json(indent=1) + "\n")
            temporary.chmod(0o755)
            _put(temporary, place)
            self.card = card
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Take up a model that was kept; it predicts the same numbers.

        Raises
        ------
        UserError
            There is no model in the folder, it was kept in another form, or a file is not as it was kept.
        """
        from matscout.featurizers.base import Featurizer

        place, card = Path(folder), read_card(folder)
        with reading(place / CARD):
            check_fingerprints(place, card.files)
            features = [one if isinstance(one, str) else Featurizer.from_recipe(one) for one in card.features]
            surrogate = CalibratedSurrogate.load(place / _CALIBRATED)
        if others := other_releases(card):
            warn(f"{place} was trained with {'; '.join(others)}: its predictions may differ")
        return cls(surrogate, features, card)


def train_model(
    data: Any,
    target_values: ArrayLike | str,
    *,
    surrogate: str = "xgboost",
    features: Sequence[str | Featurizer] = ("magpie",),
    target: str = "",
    unit: str = "",
    groups: ArrayLike | None = None,
    client: Any = None,
    **options: Any,
) -> Model:
    """Train a model of one property.

    Parameters
    ----------
    data
        Formulas or structures in a list, a `CandidateTable`, or a `Source` of rows in a file.
    target_values
        One per row, NaN where there is no result; or the column of the input that has them.
    surrogate
        One of `matscout.models.SURROGATES`.
    features
        Feature sets, where it learns from features.
    target, unit
        What is learnt, and its unit; the column's name if left out.
    groups
        Label of each row of the input: rows of one group are held out together. Chemical systems if left out.
    client
        Where features are made: see `matscout.featurizers.featurize`.
    options
        Of the surrogate.

    Raises
    ------
    UserError
        Something that is named is unknown, or there are too few results.
    """
    values = target_values if isinstance(target_values, str) else np.asarray(target_values, dtype=float)
    rows = read_training_data(data, values, surrogate_class(surrogate).takes, features, client)
    labels = rows.chemical_systems() if groups is None else _of_rows(groups, rows)
    name = target or (target_values if isinstance(target_values, str) else "target")
    return fit_model(
        rows,
        labels,
        surrogate=surrogate,
        features=features,
        target=name,
        unit=unit,
        options=options,
        groups_by="chemical-system" if groups is None else "given",
    )


def _of_rows(groups: ArrayLike, rows: TrainingData) -> NDArray[Any]:
    """Labels of the rows that are learnt from, out of those of all rows of the input."""
    if np.shape(groups) != (rows.n_input,):
        raise UserError(f"expected a group for each of {rows.n_input} rows of the input, got {np.shape(groups)}")
    every = np.asarray(groups).tolist() if isinstance(groups, np.ndarray) else list(groups)  # type: ignore[arg-type]
    return known_labels([every[row] for row in rows.row_numbers.tolist()])


def fit_model(
    rows: TrainingData,
    groups: NDArray[Any] | None,
    *,
    surrogate: str,
    features: Sequence[str | Featurizer],
    target: str,
    unit: str,
    options: dict[str, Any],
    groups_by: str,
) -> Model:
    """Train on rows that were read, and write the card; see `train_model`."""
    made = make_surrogate(surrogate, **options)
    used = tuple(features) if made.surrogate.takes == "features" else ()
    start = time.perf_counter()
    made.fit(rows.inputs, rows.target, groups=groups)
    seconds = time.perf_counter() - start
    card = ModelCard(
        created=now(),
        target=target,
        unit=unit,
        surrogate=surrogate,
        takes=made.surrogate.takes,
        options={**made.surrogate.options(), **made.calibration_options()},
        features=[one if isinstance(one, str) else one.recipe() for one in used],
        feature_versions=dict(rows.inputs.versions) if isinstance(rows.inputs, FeatureInputs) else {},
        n_features=rows.inputs.values.shape[1] if isinstance(rows.inputs, FeatureInputs) else None,
        data=rows.name,
        rows=rows.kind,
        n_rows=len(rows),
        n_left_out=len(rows.left_out),
        data_hash=summary_of(rows.inputs, rows.target).hash,
        groups_by=groups_by,
        training_seconds=seconds,
        versions=package_versions(),
        calibration=made.calibration.as_dict(),
    )
    return Model(made, used, card)


def check_place(folder: Path, *, replace: bool) -> None:
    """Raise a `UserError` where a model cannot be kept."""
    if folder.exists() and not replace:
        raise UserError(f"{folder} is there already: name another folder, or give --replace (in Python replace=True)")
    if folder.exists() and not (folder / CARD).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is no kept model, so it is not replaced: name another folder")
    if not folder.absolute().parent.is_dir():
        raise UserError(f"no folder {folder.absolute().parent}: make it first")


def read_card(folder: str | os.PathLike[str]) -> ModelCard:
    """Read the card of a kept model.

    Raises
    ------
    UserError
        There is none, it was written in another form, or it is damaged.
    """
    file = Path(folder) / CARD
    if not file.is_file():
        raise UserError(f"{folder} is no kept model: it holds no {CARD}")
    with reading(file):
        document = read_json(file)
        check_form(file, document["version"])
        return ModelCard.model_validate(document)


def _put(made: Path, place: Path) -> None:
    """Put a folder in its place; one that was there is removed only when the new one stands."""
    if not place.exists():
        made.rename(place)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{place.name}.old.", dir=place.absolute().parent))
    place.rename(old / "model")
    try:
        made.rename(place)
    except OSError:
        (old / "model").rename(place)
        raise
    finally:
        if place.exists():
            shutil.rmtree(old, ignore_errors=True)


def _compositions(part: Part) -> tuple[CompositionInputs, dict[int, str]]:
    amounts, errors = part.amounts()
    return CompositionInputs.of_amounts(amounts), dict(errors)


def _crystals(part: Part) -> tuple[CrystalInputs, dict[int, str]]:
    crystals: list[Any] = []
    errors: dict[int, str] = {}
    for row in range(len(part)):
        try:
            crystals.append(part.crystal(row))
        except UserError as error:
            errors[row] = str(error)
            crystals.append(None)
    return CrystalInputs(crystals), errors
