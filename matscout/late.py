"""Names of a package that are imported when somebody asks for them.

A command line must answer in a fraction of a second, and hulls or features must be usable without torch or a store: so
a package's ``__init__`` names what it offers and imports nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def late_names(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """Return a module ``__getattr__`` for `package`.

    Parameters
    ----------
    package
        ``__name__`` of the package.
    modules
        Public name -> the module that defines it: one below the package, or another one's full name.

    Examples
    --------
    >>> late_names("matscout", {"UserError": "errors"})("UserError").__name__
    'UserError'
    """

    def __getattr__(name: str) -> object:  # noqa: N807  what PEP 562 calls it
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = modules[name]
        return getattr(import_module(home if home.startswith("matscout.") else f"{package}.{home}"), name)

    return __getattr__
