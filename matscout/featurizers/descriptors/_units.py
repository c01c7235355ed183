"""Units that descriptors share."""

from __future__ import annotations

BOHR = 0.529177210544
"""Å; CODATA 2022."""
