"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CampaignFile = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="Campaign file; the only one in this folder if left out.")
]
StoreOption = Annotated[
    str | None, typer.Option("--store", help="Store, if not the campaign's, MATSCOUT_STORE or ./matscout-store.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]
