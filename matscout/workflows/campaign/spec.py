"""The description of a campaign: everything its result depends on, and nothing else.

From a YAML file through `matscout.workflows.campaign.files.read_spec`, or from Python. Unknown keys are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from matscout.db.documents import content_hash
from matscout.errors import UserError
from matscout.workflows.campaign.parts import Part, known_name
from matscout.workflows.campaign.space import SpaceSpec

if TYPE_CHECKING:
    from matscout.workflows.calculations import Protocol


def _protocol(name: str) -> str:
    from matscout.workflows.calculations import get_protocol

    return get_protocol(name).name


def _feature(name: str) -> str:
    from matscout.featurizers.registry import FEATURE_SETS, MATMINER, make_featurizer

    if name.startswith(MATMINER):
        return make_featurizer(name).name
    return known_name(name, FEATURE_SETS, "feature set")


def _surrogate(name: str) -> str:
    from matscout.models import SURROGATES

    return known_name(name, SURROGATES, "surrogate")


def _acquisition(name: str) -> str:
    from matscout.models.acquisition import ACQUISITIONS

    return known_name(name, ACQUISITIONS, "acquisition")


OF_THE_CAMPAIGN = ("best", "rng", "epistemic")
"""What acquisitions take that a campaign knows by itself."""

CAMPAIGN_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
MOST = 10**9
"""Largest number of anything; beyond it stands a typing error."""


class ComputedReferences(Part):
    """Elements and charge-balanced binaries of the chemical systems touched, calculated by the campaign's protocol."""

    source: Literal["computed"] = "computed"
    prototypes_per_stoichiometry: int = Field(default=8, ge=1, le=8, description="Named prototypes tried for each")
    prototypes_per_element: int | None = Field(
        default=None,
        ge=1,
        le=MOST,
        description="Structures tried for each element, that of room temperature first; all named ones if left out",
    )
    max_sites: int = Field(
        default=40, ge=4, le=MOST, description="Prototypes with more sites in their primitive cell are left out"
    )
    max_calculations: int = Field(
        default=600, ge=1, le=600, description="Fewer prototypes are tried where more calculations would be needed"
    )


class FileReferences(Part):
    """Entries from a file: pymatgen entries as JSON, gzipped or not."""

    source: Literal["file"]
    path: Path = Field(description="Looked for beside the campaign file, then in the folder MATSCOUT_DATA")
    recompute: bool = Field(
        default=True,
        description="Calculate their structures again by the campaign's protocol: one protocol on the hull",
    )
    correction: str = Field(
        default="none",
        description="Without recompute: the scheme that joins both protocols: chgnet-as-mp2020; vasp-mp-gga: mp2020",
    )
    window: float = Field(
        default=0.1, ge=0, description="With recompute: only entries this near to the file's own hull, eV/atom"
    )
    max_calculations: int = Field(default=600, ge=1, le=600, description="With recompute: at most so many")
    error_sample: int = Field(
        default=24, ge=3, le=200, description="Without recompute: entries calculated to measure the scheme's error"
    )

    @field_validator("correction")
    @classmethod
    def _scheme(cls, value: str) -> str:
        from matscout.workflows.stability.schemes import get_scheme

        return get_scheme(value).name

    @model_validator(mode="after")
    def _joined(self) -> FileReferences:
        if not self.recompute and self.correction == "none":
            raise UserError(
                "energies from a file and the campaign's own may not meet on one hull: "
                "set recompute: true, or name the scheme that joins them (correction: chgnet-as-mp2020)"
            )
        if self.recompute and self.correction != "none":
            raise UserError(
                f"correction: {self.correction} joins two protocols; with recompute: true there is only one"
            )
        return self


class SurrogateSpec(Part):
    """The model that predicts distances before they are calculated."""

    name: Annotated[str, AfterValidator(_surrogate)] = Field(default="xgboost", description="Kind of model")
    features: tuple[Annotated[str, AfterValidator(_feature)], ...] = Field(
        default=("magpie", "sites"), min_length=1, description="Feature sets of the unrelaxed candidate"
    )
    target: Literal["hull-distance", "formation-energy"] = Field(
        default="hull-distance",
        description="What it learns: the distance to the references' hull, or the energy itself",
    )
    missing: Literal["native", "median", "refuse"] | None = Field(
        default=None,
        description="Unknown features: left to the model, replaced by the median of what was calculated, or refused; "
        "if left out, left to a model that has a way of its own with them, else the median",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the model")

    @field_validator("features", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _options_exist(self) -> SurrogateSpec:
        from matscout.models.registry import make_surrogate, surrogate_class

        if "seed" in self.options:
            raise UserError("surrogate.options.seed: the campaign's own seed is the surrogate's too; leave it out")
        if "missing" in self.options:
            raise UserError("surrogate.options.missing: write it as surrogate.missing")
        for option in ("task", "transform"):
            if option in self.options:
                raise UserError(f"surrogate.options.{option}: energies are learnt as they are; leave it out")
        if self.missing is not None and surrogate_class(self.name).takes != "features":
            raise UserError(f"surrogate.missing: {self.name} does not learn from features")
        make_surrogate(self.name, **self.all_options())
        return self

    def all_options(self) -> dict[str, Any]:
        """Options of the model, with what it does about unknown features."""
        from matscout.models.base import FeatureSurrogate
        from matscout.models.registry import surrogate_class

        kind = surrogate_class(self.name)
        if not issubclass(kind, FeatureSurrogate):
            return dict(self.options)
        return {"missing": self.missing or ("native" if kind.native_missing else "median"), **self.options}


class AcquisitionSpec(Part):
    """The rule that chooses what to calculate next."""

    name: Annotated[str, AfterValidator(_acquisition)] = Field(default="probability", description="Rule")
    threshold: float = Field(default=0.025, ge=0, le=1, description="On or near the hull means at most this, eV/atom")
    options: dict[str, float] = Field(default_factory=dict, description="Options of the rule, such as kappa")
    batch: Literal["top", "local_penalization", "determinantal", "farthest_points"] = Field(
        default="top",
        description="How a round is made of scores: the highest ones, or such as are not all alike in their features",
    )

    @model_validator(mode="after")
    def _options_exist(self) -> AcquisitionSpec:
        from matscout.models.acquisition import get_acquisition, keywords

        rule = get_acquisition(self.name, **self.options)
        if "threshold" in self.options:
            raise UserError("acquisition.options.threshold: write it as acquisition.threshold")
        for option in OF_THE_CAMPAIGN:
            if option in self.options:
                raise UserError(f"acquisition.options.{option}: the campaign gives it each round; leave it out")
        if not self.options:
            return self
        # tried once, so that a wrong value is said before anything is calculated
        known = {"threshold": 0.0, "best": 0.0, "rng": np.random.default_rng(0), "epistemic": [0.1, 0.1]}
        try:
            rule([0.0, 0.1], [0.1, 0.1], **{name: known[name] for name in keywords(self.name) if name in known})
        except (ValueError, IndexError) as error:
            raise UserError(f"acquisition.options of {self.name}: {error}") from error
        return self


class BudgetSpec(Part):
    """How much may be calculated; references are counted apart."""

    calculations: int = Field(gt=0, le=MOST, strict=True, description="Candidates to calculate in all")
    first_batch: int = Field(
        default=20, gt=0, le=MOST, strict=True, description="Of these, chosen for diversity before anything is known"
    )
    batch: int = Field(default=10, gt=0, le=MOST, strict=True, description="Candidates of each later round")


class StopSpec(Part):
    """When to stop before the budget is gone."""

    barren_rounds: int | None = Field(
        default=None, gt=0, le=MOST, description="After so many rounds that found nothing"
    )
    expected_left: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Once fewer stable candidates than this are expected among those not calculated",
    )


class CampaignSpec(Part):
    """A search space, a protocol, references, a surrogate, an acquisition and a budget.

    Examples
    --------
    >>> spec = CampaignSpec(
    ...     name="fluorides",
    ...     space={"prototypes": ["cubic-perovskite"], "elements": {"A": ["K", "Rb"], "B": ["Mg"], "X": ["F"]}},
    ...     budget={"calculations": 2},
    ... )
    >>> spec.protocol, spec.references.source
    ('chgnet-relax', 'computed')
    """

    name: str = Field(pattern=CAMPAIGN_NAME, description="Letters, digits, dot, dash, underscore")
    seed: int = Field(default=0, ge=0, lt=2**32, description="Seed of every random choice")
    space: SpaceSpec
    protocol: Annotated[str, AfterValidator(_protocol)] = Field(
        default="chgnet-relax", description="How candidates are calculated"
    )
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="Changed settings of the protocol, such as {cutoff_eV: 500}"
    )
    checks: tuple[Annotated[str, AfterValidator(_protocol)], ...] = Field(
        default=(),
        description="Protocols that check what was found once a stop rule holds, such as [chgnet-rattled]; many times "
        "the cost of a candidate each",
    )
    references: Annotated[ComputedReferences | FileReferences, Field(discriminator="source")] = Field(
        default_factory=ComputedReferences, description="What the hull is made of beside the candidates"
    )
    surrogate: SurrogateSpec = Field(default_factory=SurrogateSpec)
    acquisition: AcquisitionSpec = Field(default_factory=AcquisitionSpec)
    budget: BudgetSpec
    stop: StopSpec = Field(default_factory=StopSpec)
    store: str | None = Field(
        default=None,
        description="Results store, relative to the campaign file; MATSCOUT_STORE or ./matscout-store if none",
    )

    @model_validator(mode="before")
    @classmethod
    def _computed_unless_said(cls, value: Any) -> Any:
        references = value.get("references") if isinstance(value, dict) else None
        if isinstance(references, dict) and "source" not in references:
            return value | {"references": {"source": "computed", **references}}
        return value

    @field_validator("overrides")
    @classmethod
    def _fit_the_protocol(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if not value or "protocol" not in info.data:
            return value
        from matscout.workflows.calculations import get_protocol

        # nested or dotted, and what changes nothing left out: one campaign however it is written
        return get_protocol(info.data["protocol"], value).overrides

    @field_validator("checks")
    @classmethod
    def _check_the_protocol(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "protocol" in info.data and "overrides" in info.data:
            from matscout.workflows.calculations import get_protocol
            from matscout.workflows.campaign.checks import check_protocol

            for name in value:
                check_protocol(name, get_protocol(info.data["protocol"], info.data["overrides"]))
        return tuple(dict.fromkeys(value))

    def full_protocol(self) -> Protocol:
        """Return the protocol, with the settings that this campaign changes."""
        from matscout.workflows.calculations import get_protocol

        return get_protocol(self.protocol, self.overrides)

    def check_protocols(self) -> tuple[Protocol, ...]:
        """Return the protocols of the checks, with what this campaign changes of its own."""
        from matscout.workflows.campaign.checks import check_protocol

        return tuple(check_protocol(name, self.full_protocol()) for name in self.checks)

    @property
    def id(self) -> str:
        """Name and content hash.

        The total budget, the stop rules, the checks and the places of files are left out of the hash: they say how far
        to go and where things lie, not what to search, so a campaign whose budget is raised goes on.
        """
        # A setting that a later edition adds, at its default, must not make another campaign of this one.
        content = self.model_dump(mode="json", exclude={"stop", "store", "checks"}, exclude_defaults=True)
        del content["budget"]["calculations"]
        content.get("references", {}).pop("path", None)
        for one in content["space"].get("filters", ()):
            one.get("options", {}).pop("file", None)
        return f"{self.name}-{content_hash(content, 8)}"
