"""Versions of what makes labels."""

from __future__ import annotations

from importlib.metadata import version

_PACKAGES = ("matscout", "pymatgen", "numpy", "scipy")


def label_versions() -> dict[str, str]:
    """Versions of the packages that numbers of a hull depend on."""
    return {package: version(package) for package in _PACKAGES}
