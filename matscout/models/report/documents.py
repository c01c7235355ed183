"""Base of what a report card is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping


def _none_if_unknown(value: Any) -> Any:
    return None if isinstance(value, (float, np.floating)) and not np.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_none_if_unknown)]
"""A score; None where it is not defined, as an R2 of equal targets, since JSON knows no NaN."""


class Document(BaseModel):
    """Scores with names, that JSON can hold."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def as_dict(self) -> dict[str, Any]:
        """Return the content, ready for JSON."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Take up what `as_dict` returned.

        Raises
        ------
        UserError
            A field is missing or of another kind; the message names the first one.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "its form"
            raise UserError(
                f"this is no {cls.__name__} of this version of matscout: {place}: {first['msg']}"
            ) from error
