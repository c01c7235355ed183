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

    model_config = SettingsConfigDict(env_prefix="MATSCOUT_", env_ignore_empty=True)

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
    dask: str | None = Field(
        default=None,
        min_length=1,
        description="Where features of crystals are made: local, local:N, slurm, or a dask scheduler's address; in the "
        "process itself when unset.",
    )
    cache: Path | None = Field(
        default=None,
        description="Folder of what is kept to be used again, such as features; ~/.cache/matscout when unset.",
    )
    slurm_partition: str | None = Field(
        default=None,
        description="Partition of Slurm jobs that make features. What is unset here and has no other default is taken "
        "from dask-jobqueue's own configuration (jobqueue.slurm), then from the site's.",
    )
    slurm_account: str | None = Field(default=None, description="Account that Slurm jobs are charged to.")
    slurm_jobs: int = Field(default=1, gt=0, description="Slurm jobs that make features at once.")
    slurm_cores: int = Field(default=1, gt=0, description="Cores of each Slurm job, with one worker process on each.")
    slurm_memory: str | None = Field(
        default=None, min_length=1, description="Memory of each Slurm job, such as 64GB; 2 GB for each core when unset."
    )
    slurm_walltime: str = Field(default="01:00:00", min_length=1, description="Longest time of a Slurm job.")
    slurm_interface: str | None = Field(
        default=None, description="Network interface, such as ib0, that this machine and the nodes have in common."
    )
    slurm_host: str | None = Field(
        default=None, description="Address under which Slurm's nodes reach this machine, where dask finds a wrong one."
    )
    slurm_prologue: str | None = Field(
        default=None, description="Shell commands at the start of each Slurm job, such as: module load python"
    )
    slurm_directives: str | None = Field(
        default=None, description="Further options of sbatch, such as: --qos=long --constraint=avx2"
    )
    slurm_log_folder: Path | None = Field(
        default=None,
        description="Folder, seen by the nodes, that keeps what Slurm jobs print; thrown away at the end when unset.",
    )
    slurm_shared_folder: Path | None = Field(
        default=None,
        description="Folder, seen by the nodes, for the certificates of a run; `slurm` in the folder of `cache` when "
        "unset.",
    )
    slurm_start_seconds: float = Field(
        default=600.0, gt=0, description="How long to wait for the first Slurm job to start, s."
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
