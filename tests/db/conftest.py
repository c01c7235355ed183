"""Settings of the person who runs the tests stay out of them."""

from __future__ import annotations

import os

import pytest

from matscout.settings import get_settings


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    """Remove every MATSCOUT_ setting but those of the tests; return the function that reads them anew."""
    for name in list(os.environ):
        if name.startswith("MATSCOUT_") and not name.startswith("MATSCOUT_TEST_"):
            monkeypatch.delenv(name)
    get_settings.cache_clear()
    yield get_settings.cache_clear
    get_settings.cache_clear()
