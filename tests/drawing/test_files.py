from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from plotly.graph_objects import Figure

from matscout.drawing.files import write_plot
from matscout.errors import UserError

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def drawn(name="Fe2O3"):
    figure = Figure()
    figure.add_scatter(x=[0.0, 0.4, 1.0], y=[0.0, -1.7, 0.0], text=["Fe", name, "O"], name=name)
    figure.update_layout(title={"text": "<b>Fe-O</b> hull<br>second line"})
    return figure


@pytest.fixture
def figure():
    return drawn()


def without_plotly(page):
    """A page without the source of Plotly, which stands in the longest of its scripts."""
    scripts = re.findall(r"<script[^>]*>.*?</script>", page, flags=re.DOTALL)
    return page.replace(max(scripts, key=len), "")


def test_a_page_holds_all_it_needs(figure, tmp_path):
    write_plot(figure, tmp_path / "hull.html")
    page = (tmp_path / "hull.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "<title>Fe-O hull</title>" in page
    assert "default-src 'none'" in page
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", without_plotly(page))
    assert "plotly.js v" in page


def test_an_id_cannot_end_the_script(tmp_path):
    write_plot(drawn(HOSTILE), tmp_path / "hull.html")
    own = without_plotly((tmp_path / "hull.html").read_text())
    assert "<img" not in own
    assert "alert(1)</script>" not in own


def test_json_is_plotlys_own(figure, tmp_path):
    write_plot(figure, tmp_path / "hull.json")
    assert Figure(json.loads((tmp_path / "hull.json").read_text())).to_dict() == figure.to_dict()


def test_the_same_figure_gives_the_same_bytes(figure, tmp_path):
    for name, each in (("a.html", figure), ("b.html", drawn())):
        write_plot(each, tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_an_older_file_stays_whole_until_the_new_one_is(figure, tmp_path, monkeypatch):
    target = tmp_path / "hull.html"
    target.write_text("older")
    seen, rename = [], Path.replace

    def look(self, other):
        seen.append((target.read_text(), self.read_text()[:15], self.parent == target.parent, Path(other) == target))
        return rename(self, other)

    monkeypatch.setattr(Path, "replace", look)
    write_plot(figure, target)
    assert seen == [("older", "<!doctype html>", True, True)]
    assert [path.name for path in tmp_path.iterdir()] == ["hull.html"]


def test_a_full_disk_leaves_the_older_file_and_nothing_else(figure, tmp_path, monkeypatch):
    target = tmp_path / "hull.html"
    target.write_text("older")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_plot(figure, target)
    assert target.read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["hull.html"]


@pytest.mark.parametrize("name", ["hull.png", "hull", "hull.html.gz"])
def test_another_ending_is_refused(figure, tmp_path, name):
    with pytest.raises(UserError, match=r"a plot is written as \.html .* or \.json .*, not as .*hull"):
        write_plot(figure, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(figure, tmp_path):
    with pytest.raises(UserError, match=r"no folder .*nowhere to write hull\.html into"):
        write_plot(figure, tmp_path / "nowhere" / "hull.html")


def test_capitals_are_an_ending_too(figure, tmp_path):
    write_plot(figure, tmp_path / "HULL.HTML")
    assert (tmp_path / "HULL.HTML").read_text().startswith("<!doctype html>")
