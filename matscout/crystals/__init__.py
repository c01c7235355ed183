"""What a crystal is before anything is calculated: its protostructure, a cell chosen for it, its predicted volume.

Enumeration and features both build on it; it knows the prototypes and tables of `matscout.db` and nothing above them.
"""

from __future__ import annotations
