"""Protocols: named, versioned, complete sets of calculation settings.

A protocol is data and the name of a Maker. Its id is a hash of all its settings, so that a changed setting is another
protocol, and energies of two protocols never meet on one hull by accident.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from matscout.db.documents import content_hash
from matscout.errors import UserError, nearest
from matscout.workflows.calculations.magnetism import check_policy
from matscout.workflows.calculations.overrides import changed, flat, setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import ModuleType

    from jobflow import Flow, Job, Maker
    from pymatgen.core import Structure
    from pymatgen.core.entries import ComputedStructureEntry

    from matscout.db.documents import CalculationResult

_CODES = {code: f"matscout.workflows.calculations.{code}" for code in ("chgnet", "custom", "gpaw", "vasp")}
"""The module of each code, loaded late as it needs its packages: `maker`, `make`, `read`, and of some `input_files`."""

_BUILT = {"dft": "apt-get install libxc-dev libopenblas-dev libopenmpi-dev (or the like), then "}
"""What an extra is built with, before it can be installed."""

_LIMITS = frozenset({"max_steps", "max_scf_steps", "incar.NELM", "incar.NSW"})
"""Settings that a retry raises and never lowers: a protocol may allow more than the policy's authors thought of."""

ENTRY = {"energy": "that of the last step", "states": "its protocol"}
"""How most outputs become an entry."""


@dataclass(frozen=True)
class Protocol:
    """A complete set of settings under a name.

    Attributes
    ----------
    name, version
        How people call it, and which edition of the settings, and of the Maker that carries them out, this is.
    code, functional
        What computes the energy, and what it approximates.
    settings
        Every number the result depends on; units in the keys' names or eV, Å.
    maker_name
        Dotted name of the Maker. Not part of the id, as it is a place in a package; `version` tells its editions apart,
        and a custom protocol names its Maker in the settings.
    corrections
        Correction scheme that its energies need before they stand on a hull with all other compositions.
    entry
        How its output becomes an entry of a hull: which energy is taken, and what the entry says it was made by.
    help_settings
        Settings that help a calculation along without changing what it approximates, such as the mixing of densities.
        They are in the id, as all others; but a retry may change them, which is recorded beside the id.
    fixed
        Settings that no override may change, with what to do instead.
    packages
        Distributions that make the number: their versions are recorded with each result.
    extra
        The optional dependency to install for it, if any.
    seconds_per_site
        A rough cost on one core, used for estimates until the store holds measured times.
    overrides
        Settings that differ from those under this name, by dotted name.
    adjustments
        Settings that a retry changed, of those in `help_settings`.
    """

    name: str
    version: int
    code: str
    functional: str
    settings: dict[str, Any] = field(hash=False)
    maker_name: str = ""
    corrections: str = "none"
    entry: dict[str, str] = field(default_factory=lambda: dict(ENTRY), hash=False)
    help_settings: tuple[str, ...] = ()
    fixed: dict[str, str] = field(default_factory=dict, hash=False)
    packages: tuple[str, ...] = ()
    extra: str | None = None
    seconds_per_site: float = 0.05
    overrides: dict[str, Any] = field(default_factory=dict, hash=False)
    adjustments: dict[str, Any] = field(default_factory=dict, hash=False)
    _id_before: str = ""

    @property
    def relaxes(self) -> bool:
        """Whether positions or cell change, so that like crystals may end as the same one."""
        return self.settings.get("relax") != "nothing"

    @property
    def id(self) -> str:
        """Content hash of name, version, code, functional, corrections, entry and all settings: 16 hexadecimals."""
        if self._id_before:
            return self._id_before
        content = {
            "name": self.name,
            "version": self.version,
            "code": self.code,
            "functional": self.functional,
            "settings": self.settings,
        }
        # What most protocols have in common is left out, as it was before it could be said.
        if self.corrections != "none":
            content["corrections"] = self.corrections
        if self.entry != ENTRY:
            content["entry"] = self.entry
        return content_hash(content)

    @property
    def label(self) -> str:
        """The name, and the beginning of the id where settings were changed: what energies are told apart by."""
        return f"{self.name} [{self.id[:4]}]" if self.overrides else self.name

    def versions(self) -> dict[str, str]:
        """Return the installed versions of the packages that make the number.

        Raises
        ------
        UserError
            One of them is not installed; names the extra that brings it.
        """
        found = self.installed()
        for package in self.packages:
            if package not in found:
                how = f"pip install 'matscout[{self.extra}]'" if self.extra else f"pip install {package}"
                how = _BUILT.get(self.extra or "", "") + how
                raise UserError(f"protocol {self.name} needs {package}, which is not installed: {how}")
        return found

    def installed(self) -> dict[str, str]:
        """Return the versions of those of these packages that there are: a login node may lack what its nodes have."""
        found = {}
        for package in ("matscout", *self.packages):
            with suppress(PackageNotFoundError):
                found[package] = _version(package)
        return found

    def with_overrides(self, overrides: Mapping[str, Any]) -> Protocol:
        """Return the protocol with some settings changed: the change is recorded, and is in the id.

        Parameters
        ----------
        overrides
            New values, nested or by dotted name. Those that change nothing are not recorded.

        Raises
        ------
        UserError
            A setting is unknown or fixed, or the value is of another kind, or is none that the code could take.

        Examples
        --------
        >>> tight = get_protocol("chgnet-relax").with_overrides({"fmax_eV_per_A": 0.01})
        >>> tight.overrides, tight.id == get_protocol("chgnet-relax").id
        ({'fmax_eV_per_A': 0.01}, False)
        """
        asked = flat(overrides)
        if not asked:
            return self
        settings, recorded = changed(self.name, self.settings, asked, self.fixed)
        check_policy(self.name, settings)
        if self.relaxes and settings.get("max_steps", 2) < 2:
            # atomate2 takes one step for a static calculation, and calls it converged
            raise UserError(
                f"protocol {self.name}: max_steps of a relaxation is 2 or more, not {settings['max_steps']}"
            )
        new = replace(self, settings=settings, overrides=dict(sorted((self.overrides | recorded).items())))
        return self._code().overridden(new) if self.code == "custom" else new

    def adjusted(self, adjustments: Mapping[str, Any]) -> Protocol:
        """Return the protocol as a retry runs it: by another way to the same energy, so under the same id.

        Parameters
        ----------
        adjustments
            New values of `help_settings`; for VASP also the tags of INCAR among them, in capitals. Those of settings
            that this protocol of its code does not have are left out, and no limit on steps is lowered.

        Raises
        ------
        UserError
            Another setting is named: that would be another protocol.

        Examples
        --------
        >>> get_protocol("chgnet-relax").adjusted({"optimizer": "FIRE"}).id == get_protocol("chgnet-relax").id
        True
        """
        if not adjustments:
            return self
        asked = {
            f"incar.{key}" if self.code == "vasp" and key.isupper() else key: adjustments[key] for key in adjustments
        }
        other = [key for key in asked if key not in self.help_settings]
        if other:
            raise UserError(
                f"protocol {self.name}: a retry may change {', '.join(self.help_settings) or 'nothing'}, "
                f"not {', '.join(other)}, which makes another protocol"
            )
        known = {key: value for key, value in asked.items() if key.partition(".")[0] in self.settings}
        for key in _LIMITS & known.keys():
            known[key] = max(known[key], setting(self.settings, key, known[key]))
        settings, recorded = changed(self.name, self.settings, known)
        return replace(self, settings=settings, adjustments=recorded, _id_before=self.id)

    def unknown_elements(self, symbols: Iterable[str]) -> list[str]:
        """Return those of the elements that it has no parameters for, by atomic number."""
        from matscout.workflows.calculations.guards import unknown_elements

        return unknown_elements(self.code, self.settings, symbols)

    def maker(self) -> Maker:
        """Make the Maker, with all settings; its ``make(structure)`` gives a job or a flow.

        Raises
        ------
        UserError
            A package is missing, or its own settings are not those of this protocol.
        """
        self.versions()
        maker: Maker = self._code().maker(self)
        return maker

    def make(self, structure: Structure) -> Flow | Job:
        """Make the job or the flow that calculates one crystal as it stands.

        What a protocol does around it (several magnetic orderings, a rattled cell, displaced atoms) is done by
        `matscout.workflows.calculations.calculate`, one flow each.
        """
        self.versions()
        flow: Flow | Job = self._code().make(self, structure)
        return flow

    def read(self, outputs: Mapping[str, Any], structure: Structure) -> dict[str, Any]:
        """Read the outputs of its jobs as fields of a `CalculationResult`.

        Parameters
        ----------
        outputs
            Output document of each job, by name, in the order in which they ran; as objects or as plain data.
        structure
            What went in.

        Returns
        -------
        Energy, geometry, every ionic step with the unrelaxed one first, moments, and whether it converged.
        """
        fields: dict[str, Any] = self._code().read(self, outputs, structure)
        return fields

    def write_inputs(self, structure: Structure, folder: Path) -> list[Path]:
        """Write the input files of a calculation, without running it."""
        from matscout.workflows.calculations.inputs import write_inputs

        return write_inputs(self, structure, folder)

    def to_entry(self, result: CalculationResult) -> ComputedStructureEntry:
        """Make the entry of a completed calculation, uncorrected, as the schemes of hulls take it."""
        from matscout.workflows.calculations.reading import entry_of

        return entry_of(self, result)

    def _code(self) -> ModuleType:
        return import_module(_CODES[self.code])


@cache
def _version(package: str) -> str:
    """Version of a distribution: looked up once, as each look reads a file of its own."""
    return version(package)


def list_protocols() -> tuple[Protocol, ...]:
    """Return every protocol, by name."""
    from matscout.workflows.calculations.catalogue import NAMES, protocol_named

    return tuple(map(protocol_named, sorted(NAMES)))


def get_protocol(name: str, overrides: Mapping[str, Any] | None = None) -> Protocol:
    """Return the protocol of a name, with some settings changed.

    Raises
    ------
    UserError
        No protocol is called so; names the nearest. Or an override does not fit.

    Examples
    --------
    >>> get_protocol("chgnet-relax").settings["optimizer"]
    'BFGS'
    """
    from matscout.workflows.calculations.catalogue import NAMES, protocol_named

    if name not in NAMES:
        close = nearest(name, NAMES)
        hint = f"Nearest: {close}." if close else f"Known: {', '.join(sorted(NAMES))}."
        raise UserError(f'unknown protocol "{name}". {hint}')
    return protocol_named(name).with_overrides(overrides or {})
