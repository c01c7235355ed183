"""The store of the person who runs the tests stays out of them."""

from __future__ import annotations

import pytest

from matscout.settings import get_settings


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    """Remove the settings of a store; return the function after which they are read anew."""
    for name in ("MATSCOUT_STORE", "MATSCOUT_STORE_MAX_MB"):
        monkeypatch.delenv(name, raising=False)
    get_settings.cache_clear()
    yield get_settings.cache_clear
    get_settings.cache_clear()
