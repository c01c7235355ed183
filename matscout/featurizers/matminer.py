"""Any featurizer of matminer, as one of ours: of fixed length, with a time limit for each row."""

from __future__ import annotations

import hashlib
import inspect
import json
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from matscout.crystals.crystal import Crystal
from matscout.errors import UserError
from matscout.featurizers._bibtex import readable
from matscout.featurizers._matminer_classes import PACKAGE, TEXT_COLUMNS, find, make
from matscout.featurizers.base import Featurizer, RowFeaturizer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core.composition import Composition
    from pymatgen.core.structure import Structure

PREFIX = "matminer:"
"""What the name of one of matminer's featurizers begins with."""

_CITATION = (
    "Ward et al., Matminer: An open source toolkit for materials data mining, Comput. Mater. Sci. 152, 60 (2018), "
    "doi:10.1016/j.commatsci.2018.05.018"
)


class Matminer(RowFeaturizer):
    """A featurizer of matminer.

    Its columns are matminer's, without those that hold text; true and false are 1 and 0. Crystals come without
    oxidation states, but where they are guessed.

    Parameters
    ----------
    name
        A class of ``matminer.featurizers.composition``, ``.structure`` or ``.site``, or a path with dots to a class
        that is derived from matminer's ``BaseFeaturizer``. One of sites is averaged over the sites of a crystal, by
        ``SiteStatsFingerprint`` with the options `stats`, `covariance`, `min_oxi` and `max_oxi` (which in matminer 0.10
        is a second `min_oxi`).
    preset
        Given to the class's ``from_preset``.
    time_limit
        Longest time for one row, s; None for no limit.
    oxidation_states
        "guess" for the most probable ones that add up to no charge, for at most 50 atoms in a formula; a row without
        such is an error.
    options
        Options of the class, as JSON takes them. In the place of an object stands its class: ``nn="VoronoiNN"`` or
        ``nn={"VoronoiNN": {"weight": "area"}}``, ``data_source="DemlData"``, ``featurizer="ElementProperty:magpie"``.

    Raises
    ------
    UserError
        There is no such class, preset or option; the columns depend on data that the class is fitted to; or its numbers
        come from a service and not from the row.

    Examples
    --------
    >>> featurizer = Matminer("Stoichiometry", p_list=[2, 3])
    >>> featurizer.takes, featurizer.feature_names
    ('compositions', ('2-norm', '3-norm'))
    """

    version = 1
    software = ("matminer", "pymatgen", "pymatgen-core")

    def __init__(
        self,
        name: str,
        *,
        preset: str | None = None,
        time_limit: float | None = 60.0,
        oxidation_states: Literal["guess"] | None = None,
        **options: Any,
    ) -> None:
        if time_limit is not None and not time_limit > 0:
            raise UserError(f"time_limit must be positive, got {time_limit!r} s")
        if oxidation_states not in (None, "guess"):
            raise UserError(f'oxidation_states is "guess" or nothing, got {oxidation_states!r}')
        name = name.removeprefix(PREFIX)
        options = _plain(name, options)
        found = find(name)
        self._made = make(found, preset, options)
        self._labels = [str(label) for label in self._made.feature_labels()]
        text = TEXT_COLUMNS.get(found.kind.__name__, ())
        self._kept = [column for column, label in enumerate(self._labels) if label not in text]
        self._guess = oxidation_states is not None
        self.takes = "compositions" if found.takes == "compositions" else "crystals"
        self.time_limit = time_limit
        self.name = f"{PREFIX}{name}"
        self.options = {
            **options,
            **({"preset": preset} if preset is not None else {}),
            **({"oxidation_states": oxidation_states} if oxidation_states is not None else {}),
        }
        self.feature_names = tuple(self._labels[column] for column in self._kept)
        if len(set(self.feature_names)) < len(self.feature_names) or not self.feature_names:
            raise UserError(f"{name} has two columns of the same name, or none")
        self.units = ("",) * len(self.feature_names)
        self.citations = tuple(dict.fromkeys([_CITATION, *map(readable, self._made.citations())]))
        self._kind = found.kind

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as a recipe: what matminer holds inside is large, and not always to be sent."""
        return _remade, (self.recipe(), self.time_limit)

    def identity(self) -> dict[str, Any]:
        """See `Featurizer`; a class that is not matminer's own is known by its source."""
        identity = super().identity()
        if not self._kind.__module__.startswith(PACKAGE):
            source = inspect.getsource(inspect.getmodule(self._kind) or self._kind)
            identity["source"] = hashlib.sha256(source.encode()).hexdigest()
        return identity

    def featurize(self, row: Crystal | Composition) -> NDArray[np.float64]:
        """Features of one crystal or composition, as `takes` says; shape (n_features,).

        Raises
        ------
        UserError
            There are no oxidation states to guess, or matminer gave something else than its numbers.
        """
        given = self._given(row)
        try:
            values = self._made.featurize(given)
        except (ValueError, AttributeError) as error:
            if self._guess or "oxi" not in str(error).lower():
                raise
            raise UserError(f'{str(error).rstrip("!.")}: make them with oxidation_states="guess"') from error
        if len(values) != len(self._labels):
            raise UserError(f"matminer gave {len(values)} values for {len(self._labels)} columns")
        return np.array([self._number(values[column], column) for column in self._kept], dtype=float)

    def _given(self, row: Crystal | Composition) -> Composition | Structure:
        from matscout.featurizers import _oxidation

        if not isinstance(row, Crystal):
            return _oxidation.charged_composition(row) if self._guess else row
        structure = row.structure()
        if self._guess:
            _oxidation.charge(structure)
        return structure

    def _number(self, value: Any, column: int) -> float:
        if value is None:
            return np.nan
        if isinstance(value, (bool, int, float, np.number, np.bool_)) and not isinstance(value, np.complexfloating):
            return float(value)
        if isinstance(value, np.ndarray) and value.ndim == 0:
            return self._number(value[()], column)
        raise UserError(f'"{self._labels[column]}" is no number but {value!r:.40}')


def parse_matminer(text: str, **options: Any) -> Matminer:
    """Make a featurizer as the command line names it: ``matminer:CLASS``, then the preset and options behind colons.

    Parameters
    ----------
    text
        "matminer:DensityFeatures", "matminer:ElementProperty:magpie" or
        "matminer:EwaldEnergy:oxidation_states=guess:accuracy=6".
    options
        Further ones.

    Raises
    ------
    UserError
        It is not written so, or there is no such featurizer.

    Examples
    --------
    >>> parse_matminer("matminer:Stoichiometry:num_atoms=true").options
    {'num_atoms': True}
    """
    name, *parts = text.removeprefix(PREFIX).split(":")
    if not text.startswith(PREFIX) or not name or not all(parts):
        raise UserError(f'"{text}" is not written as {PREFIX}CLASS, {PREFIX}CLASS:PRESET or {PREFIX}CLASS:OPTION=VALUE')
    read: dict[str, Any] = {}
    for part in parts:
        key, is_option, value = part.partition("=")
        key, value = (key, _value(value)) if is_option else ("preset", part)
        if key in read or key in options:
            raise UserError(f'"{text}" gives {key} twice')
        read[key] = value
    return Matminer(name, **read, **options)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _plain(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Options as they come back from JSON."""
    for option, value in options.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"the option {option} of {name} cannot be written as JSON: {error}; give the name of an object's class"
            ) from error
    plain: dict[str, Any] = json.loads(json.dumps(options))
    return plain


def _remade(recipe: dict[str, Any], time_limit: float | None) -> Featurizer:
    featurizer = Featurizer.from_recipe(recipe)
    assert isinstance(featurizer, Matminer)
    featurizer.time_limit = time_limit
    return featurizer
