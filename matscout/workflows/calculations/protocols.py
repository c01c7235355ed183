"""Protocols: named, versioned, complete sets of calculation settings.

A protocol is data. Its id is a hash of all of it, so that a changed setting is another protocol, and energies of two
protocols never meet on one hull by accident.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from matscout.db.documents import content_hash
from matscout.errors import UserError, nearest


@dataclass(frozen=True)
class Protocol:
    """A complete set of settings under a name.

    Attributes
    ----------
    name, version
        How people call it, and which edition of the settings this is.
    code, functional
        What computes the energy, and what it approximates.
    settings
        Every number the result depends on; units in the keys' names or eV, Å.
    packages
        Distributions that make the number: their versions are recorded with each result.
    extra
        The optional dependency to install for it, if any.
    seconds_per_site
        A rough cost on one core, used for estimates until the store holds measured times.
    """

    name: str
    version: int
    code: str
    functional: str
    settings: dict[str, Any] = field(hash=False)
    packages: tuple[str, ...] = ()
    extra: str | None = None
    seconds_per_site: float = 0.05

    @property
    def relaxes(self) -> bool:
        """Whether positions or cell change, so that like crystals may end as the same one."""
        return self.settings.get("relax") != "nothing"

    @property
    def id(self) -> str:
        """Content hash of name, version, code, functional and all settings: 16 hexadecimal characters."""
        return content_hash(
            {
                "name": self.name,
                "version": self.version,
                "code": self.code,
                "functional": self.functional,
                "settings": self.settings,
            }
        )

    def versions(self) -> dict[str, str]:
        """Return the installed versions of the packages that make the number.

        Raises
        ------
        UserError
            One of them is not installed; names the extra that brings it.
        """
        found = {}
        for package in ("matscout", *self.packages):
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                how = f"pip install 'matscout[{self.extra}]'" if self.extra else f"pip install {package}"
                raise UserError(f"protocol {self.name} needs {package}, which is not installed: {how}") from None
        return found


_CHGNET_PACKAGES = ("chgnet", "torch", "ase", "atomate2", "pymatgen", "numpy")
_CHGNET_INPUT = {
    "model": "0.3.0",
    "min_volume_A3_per_atom": 2.0,
    "min_distance_of_covalent_radii": 0.5,
    "isolated_beyond_A": 5.7,  # in metallic Cs neighbours are 5.3 Å apart; CHGNet sees 6 Å far
}

_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="chgnet-relax",
            version=1,
            code="chgnet",
            functional="PBE+U with MP2020 corrections, as CHGNet 0.3.0 learned them",
            settings={
                **_CHGNET_INPUT,
                "relax": "cell and positions",
                "optimizer": "BFGS",
                "cell_filter": "UnitCellFilter",
                "fmax_eV_per_A": 0.05,
                "max_steps": 200,
                "max_volume_ratio": 5.0,
            },
            packages=_CHGNET_PACKAGES,
            extra="gnn",
            seconds_per_site=0.12,
        ),
        Protocol(
            name="chgnet-static",
            version=1,
            code="chgnet",
            functional="PBE+U with MP2020 corrections, as CHGNet 0.3.0 learned them",
            settings={**_CHGNET_INPUT, "relax": "nothing"},
            packages=_CHGNET_PACKAGES,
            extra="gnn",
            seconds_per_site=0.005,
        ),
    )
}


def list_protocols() -> tuple[Protocol, ...]:
    """Return every protocol, by name."""
    return tuple(_PROTOCOLS[name] for name in sorted(_PROTOCOLS))


def get_protocol(name: str) -> Protocol:
    """Return the protocol of a name.

    Raises
    ------
    UserError
        No protocol is called so; names the nearest.

    Examples
    --------
    >>> get_protocol("chgnet-relax").settings["optimizer"]
    'BFGS'
    """
    try:
        return _PROTOCOLS[name]
    except KeyError:
        close = nearest(name, _PROTOCOLS)
        hint = f"Nearest: {close}." if close else f"Known: {', '.join(sorted(_PROTOCOLS))}."
        raise UserError(f'unknown protocol "{name}". {hint}') from None
