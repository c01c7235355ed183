"""Elements of the spaces that benchmarks enumerate."""

from __future__ import annotations

MAIN_GROUP = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Ga Ge As Se Br Kr Rb Sr In Sn Sb Te I Xe Cs Ba Tl Pb Bi"
)


def main_group() -> list[str]:
    """Return the 39 main-group elements from H to Bi, rare gases included."""
    return MAIN_GROUP.split()
