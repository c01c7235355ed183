"""The card of a kept model: what it predicts, from what it was made, and how far it can be trusted."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

PACKAGES = ("matscout", "numpy", "scikit-learn", "xgboost-cpu", "torch", "gpytorch", "chgnet", "MAPIE", "pymatgen")
"""Packages whose releases may change a prediction."""


class ModelCard(BaseModel):
    """What is to be known of a kept model.

    After Mitchell et al., Model cards for model reporting, FAT* 220 (2019), doi:10.1145/3287560.3287596.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    version: Literal[1] = Field(default=1, description="Version of this form")
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
