"""One place for settings that belong to a machine or a person, not to a campaign.

Each is read from the environment as ``MATSCOUT_<NAME>``. What a campaign's result depends on stands in its file.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from matscout.errors import UserError


def available_cores() -> int:
    """Count the cores this process may use, which on a shared node are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Settings(BaseSettings):
    """Settings of this machine, from the environment."""

    model_config = SettingsConfigDict(env_prefix="MATSCOUT_")

    store: str = Field(
        default="matscout-store",
        min_length=1,
        description="Results store: a folder, or a mongodb:// uri. Relative to where you are.",
    )
    store_max_mb: int | None = Field(
        default=None, gt=0, description="Largest size of an embedded store's database in MB; none when unset."
    )
    data: Path | None = Field(
        default=None, description="Folder in which a campaign's reference files are looked for, after its own folder."
    )
    workers: int = Field(
        default_factory=available_cores, gt=0, description="Calculations run at once on this machine, each on one core."
    )
    launch_folder: Path | None = Field(
        default=None,
        description="Folder of running calculations, one below it for each store; when unset it lies in an embedded "
        "store's folder, or in the user's cache for a MongoDB server.",
    )


@cache
def get_settings() -> Settings:
    """Read the settings once per process.

    Raises
    ------
    UserError
        A variable holds a value that its setting cannot take.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"MATSCOUT_{'_'.join(str(part) for part in first['loc'])}".upper()
        raise UserError(f"environment variable {name}={first['input']!r}: {first['msg']}") from None
