from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscout.drawing import style
from matscout.workflows.stability.plots import text


@given(st.text())
def test_escaped_text_holds_no_tags_and_one_line(given_text):
    escaped = style.escape(given_text)
    assert not re.search(r"[<>\n\r\x1b]", escaped)
    assert re.fullmatch(r"(&(amp|lt|gt);|[^&])*", escaped)
    assert text.width(escaped) <= 48


def test_a_long_id_is_cut_with_a_sign():
    assert style.escape("x" * 100) == "x" * 47 + "…"


@pytest.mark.parametrize(("unit", "title"), [("eV/atom", "MAE (eV/atom)"), ("", "MAE"), ("<b>", "MAE (&lt;b&gt;)")])
def test_a_unit_stands_behind_the_name(unit, title):
    assert style.with_unit("MAE", unit) == title
