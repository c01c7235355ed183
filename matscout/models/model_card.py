"""The card of a kept model: what it predicts, from what it was made, and how far it can be trusted."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from matscout.models.kept_files import FORM

PACKAGES = (
    "matscout",
    "numpy",
    "scikit-learn",
    "xgboost-cpu",
    "torch",
    "torch_geometric",
    "chgnet",
    "MAPIE",
    "pymatgen",
)
"""Packages whose releases may change a prediction."""

_OF_ALL = ("matscout", "numpy")
_AT_WORK = {
    "dummy": (),
    "ridge": (),
    "local_kriging": (),
    "extra_trees": ("scikit-learn",),
    "random_forest": ("scikit-learn",),
    "adaboost_trees": ("scikit-learn",),
    "xgboost": ("xgboost-cpu",),
    "gaussian_process": ("torch",),
    "composition_network": ("torch",),
    "crystal_graph": ("torch", "torch_geometric"),
    "chgnet_transfer": ("torch", "chgnet"),
}


class ModelCard(BaseModel):
    """What is to be known of a kept model.

    After Mitchell et al., Model cards for model reporting, FAT* 220 (2019), doi:10.1145/3287560.3287596.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    version: int = Field(default=FORM, ge=FORM, le=FORM, description="Form in which all files of the model are kept")
    created: str = Field(description="When it was trained, UTC, ISO 8601")
    target: str = Field(description="What it predicts")
    unit: str = Field(default="", description="Unit of the target")
    surrogate: str = Field(description="Kind of model")
    takes: str = Field(description="What it learns from: features, compositions or crystals")
    options: dict[str, Any] = Field(description="Options of the model and its calibration")
    features: list[Any] = Field(default_factory=list, description="Feature sets, by name or recipe")
    feature_versions: dict[str, str] = Field(default_factory=dict, description="Key of each featurizer by its name")
    n_features: int | None = Field(default=None, description="Columns of the feature matrix")
    data: str = Field(description="What the rows were read from")
    rows: str = Field(description="What these rows were: formulas, crystals or candidates")
    data_licence: str = Field(default="", description="Licence of the data")
    n_rows: int = Field(description="Rows learnt from")
    n_left_out: int = Field(default=0, description="Rows of the input that were left out")
    data_hash: str = Field(description="SHA-256 of what was learnt from")
    groups_by: str = Field(default="", description="By what rows were held out together")
    training_seconds: float = Field(description="Time of training and calibration, s")
    machine: str = Field(default_factory=platform.machine, description="Architecture it was trained on")
    versions: dict[str, str] = Field(default_factory=dict, description="Releases of the packages at work")
    calibration: dict[str, Any] = Field(description="How it did on rows held out, before and after calibration")
    report: dict[str, Any] | None = Field(default=None, description="Report card, where the model was judged")
    tuning: dict[str, Any] | None = Field(default=None, description="Trials by which the options were chosen")
    licence: str = Field(default="", description="Licence of the model")
    files: dict[str, str] = Field(default_factory=dict, description="SHA-256 of each kept file; empty before")


def now() -> str:
    """Tell the time in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def package_versions() -> dict[str, str]:
    """Releases of the packages that predictions depend on, those that are installed."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def other_releases(card: ModelCard) -> list[str]:
    """Tell which packages that predictions of a model depend on are of other releases than in its training."""
    here = package_versions()
    at_work = _AT_WORK.get(card.surrogate, PACKAGES)
    counting = {*_OF_ALL, *at_work, *(("pymatgen",) if card.features else ())}
    return [
        f"{name} {card.versions[name]}, here {here.get(name, 'none')}"
        for name in PACKAGES
        if name in counting and name in card.versions and card.versions[name] != here.get(name)
    ]
