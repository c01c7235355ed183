"""`matscout init`: a commented campaign file to start from."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from typer import echo

from matscout.db.files import write_text
from matscout.errors import UserError


def write_template(name: str, *, force: bool) -> None:
    """Write NAME.yaml.

    Raises
    ------
    UserError
        The name cannot be a campaign's, or the file is there already.
    """
    from matscout.workflows.campaign.spec import CAMPAIGN_NAME

    path = Path(name or ".yaml")
    if path.suffix not in {".yaml", ".yml"}:
        path = path.with_name(f"{path.name}.yaml")
    if not re.fullmatch(CAMPAIGN_NAME, path.stem):
        raise UserError(
            f'"{path.stem}" cannot be a campaign\'s name: letters, digits, dots, dashes and underscores only'
        )
    if path.exists() and not force:
        raise UserError(f"{path} is there already: choose another name, or replace it with --force")
    if not path.parent.is_dir():
        raise UserError(f"the folder {path.parent} is not there")
    template = (files("matscout.cli") / "template.yaml").read_text(encoding="utf-8")
    write_text(path, template.replace("NAME", path.stem))
    echo(f"wrote {path}. Next: matscout validate {path}")
