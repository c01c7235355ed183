"""Plots of hulls in a real Chromium: what is drawn, what hover says, what goes to the network.

Pictures of all that was looked at are kept in MATSCOUT_TEST_PICTURES, or in pytest's temporary folder.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright
from pymatgen.entries.computed_entries import ComputedEntry

from matscout.workflows.stability import Hull, plot_chemical_potentials, plot_hull, read_entries, write_plot
from matscout.workflows.stability.plots import views

pytestmark = pytest.mark.integration

HOSTILE = '<img src=x onerror=alert(1)><b>"&amp;'
STABLE = (0, 114, 178)
PER_ATOM = {
    "Li": -1.9,
    "Fe": -8.4,
    "O2": -4.9,
    "P": -5.4,
    "Li2O": -4.96,
    "Li2O2": -5.05,
    "FeO": -8.1,
    "Fe2O3": -8.0,
    "Fe3O4": -8.01,
    "LiFeO2": -6.97,
    "LiFe5O8": -7.4,
    "Li3PO4": -6.45,
    "FePO4": -7.0,
    "LiFePO4": -6.9,
}
KINDS = {
    "element": lambda hull: plot_hull(hull, "O"),
    "binary": lambda hull: plot_hull(hull, "Fe-O"),
    "ternary": lambda hull: plot_hull(hull, "Li-Fe-O"),
    "landscape": lambda hull: plot_hull(hull, "Li-Fe-O", energy_upwards=True),
    "quaternary": lambda hull: plot_hull(hull, "Li-Fe-P-O"),
    "potentials-of-two": lambda hull: plot_chemical_potentials(hull, "Fe-O"),
    "potentials-on-two-axes": lambda hull: plot_chemical_potentials(hull, "Li-Fe-O", axes=["Li", "O"]),
    "potentials-of-three": lambda hull: plot_chemical_potentials(hull, "Li-Fe-O"),
}
IN_SPACE = {"landscape", "quaternary", "potentials-of-three"}
SCREENS = {"desktop": {"width": 1000, "height": 760}, "telephone": {"width": 375, "height": 720}}


@pytest.fixture(scope="module")
def hull():
    ids = [f"e-{name}" for name in PER_ATOM]
    return Hull([*PER_ATOM, "Fe2O3"], [*PER_ATOM.values(), -7.9], [*ids, "e-other"])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    named = os.environ.get("MATSCOUT_TEST_PICTURES")
    folder = Path(named) if named else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def chromium():
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("no chromium here: tests/integration/chromium.sh installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=["--use-angle=swiftshader", "--enable-unsafe-swiftshader"],  # WebGL without a graphics card
        )
        yield browser
        browser.close()


class Shown:
    """A plot on a screen, and all that its page did."""

    def __init__(self, page):
        self.page = page
        self.errors, self.requests, self.dialogs = [], [], []
        page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))

    def open(self, path):
        self.page.goto(path.as_uri())
        self.page.wait_for_function("document.getElementById('plot')?._fullLayout?._modeBar !== undefined")
        self.page.wait_for_function("document.querySelector('#plot .main-svg') !== null")
        # A scene is drawn some frames after its page.
        self.page.evaluate(
            "new Promise(d => { let n = 12; (function f() { n-- ? requestAnimationFrame(f) : d() })() })"
        )
        return self

    def hover(self, x, y):
        """Move the pointer there; return what the box beside it says, without tags."""
        box = self.page.locator("#plot .hoverlayer .hovertext text.nums, #plot svg .hovertext text.nums").first
        for step in range(20):
            self.page.mouse.move(x - 2 + step % 2, y)
            self.page.mouse.move(x, y)
            self.page.wait_for_timeout(100)
            if box.count():
                return box.text_content()
        return ""

    def hover_entry(self, told):
        """Point at the marker on the page whose hover holds a text."""
        place = self.page.evaluate(
            """told => {
                const points = [...document.querySelectorAll('#plot .point')].reverse();
                const point = points.find(p => String(p.__data__?.htx ?? '').includes(told));
                const box = point.getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2];
            }""",
            told,
        )
        return self.hover(*place)

    def middle_of_scene(self):
        box = self.page.evaluate(
            "(({x, y, width, height}) => [x + width / 2, y + height / 2, height])("
            "document.getElementById('plot')._fullLayout.scene._scene.container.getBoundingClientRect())"
        )
        return box[:2], box[2]


@pytest.fixture
def show(chromium):
    contexts = []

    def on(path, screen="desktop"):
        contexts.append(chromium.new_context(viewport=SCREENS[screen], is_mobile=screen == "telephone"))
        return Shown(contexts[-1].new_page()).open(path)

    yield on
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def written(hull, tmp_path_factory):
    """All kinds of plots as pages."""
    folder = tmp_path_factory.mktemp("plots")
    for kind, make in KINDS.items():
        write_plot(make(hull), folder / f"{kind}.html")
    return folder


def pixels_like(picture, colour, within=12):
    with Image.open(picture) as image:
        values = np.asarray(image.convert("RGB"), dtype=int)
    return int((np.abs(values - colour).max(axis=2) <= within).sum())


def coloured_pixels(picture):
    with Image.open(picture) as image:
        return int((np.ptp(np.asarray(image.convert("RGB"), dtype=int), axis=2) > 30).sum())


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_drawn_without_errors_and_without_the_network(kind, screen, written, show, pictures):
    path = written / f"{kind}.html"
    shown = show(path, screen)
    picture = pictures / f"{kind}-{screen}.png"
    shown.page.screenshot(path=picture)
    assert shown.errors == []
    assert [url for url in shown.requests if not url.startswith(("data:", "blob:"))] == [path.as_uri()]
    if kind.startswith("potentials"):
        assert coloured_pixels(picture) > 1500
    else:
        assert pixels_like(picture, STABLE) > 40  # of one small circle at least
    if kind in IN_SPACE:
        drawn = shown.page.locator("#plot .gl-container canvas")
        assert drawn.count() > 0
        assert drawn.first.bounding_box()["height"] > 300


@pytest.mark.parametrize("kind", KINDS)
def test_a_telephone_shows_all_of_it(kind, written, show):
    shown = show(written / f"{kind}.html", "telephone")
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 375
    boxes = shown.page.evaluate(
        """() => [...document.querySelectorAll('#plot text')].map(t => [t.textContent, t.getBoundingClientRect()])
            .filter(([text, box]) => text && box.width).map(([text, box]) => [text, box.left, box.right])"""
    )
    assert boxes
    assert [text for text, left, right in boxes if left < -1 or right > 376] == []


@pytest.mark.parametrize("kind", ["binary", "ternary", "quaternary"])
def test_legend_and_colour_bar_leave_each_other_room(kind, written, show):
    for screen in SCREENS:
        page = show(written / f"{kind}.html", screen).page
        legend = [entry.bounding_box() for entry in page.locator("#plot .legend .traces").all()]
        bar = page.locator("#plot .colorbar .cbtitle").bounding_box()
        assert len(legend) >= 2
        assert max(box["y"] + box["height"] for box in legend) <= bar["y"] + 2


@pytest.mark.parametrize("kind", ["binary", "ternary"])
def test_hover_tells_what_an_entry_is(kind, written, show, pictures):
    shown = show(written / f"{kind}.html")
    told = shown.hover_entry("e-Fe3O4")
    shown.page.screenshot(path=pictures / f"{kind}-hover.png")
    for words in ("Fe3O4", "e-Fe3O4", "E above hull 0.0186 eV/atom", "decomposes:", "→ Fe2O3 + FeO"):
        assert words in told.replace("\u200b", "")
    assert "on the hull" in shown.hover_entry("e-FeO<")


def test_hover_in_space_is_where_the_labels_were_placed_for(hull, written, show, pictures):
    """The view that labels are placed by is the one that the browser draws."""
    figure = plot_hull(hull, "Li-Fe-P-O")
    shown = show(written / "quaternary.html")
    middle, height = shown.middle_of_scene()
    scene = figure.layout.scene
    axes = [scene[f"{axis}axis"].range for axis in "xyz"]
    view = views.View(
        np.array([axis[0] for axis in axes]),
        np.array([axis[1] for axis in axes]),
        np.array([scene.aspectratio[axis] for axis in "xyz"]),
        np.array([scene.camera.eye[axis] for axis in "xyz"]),
        np.array([scene.camera.center[axis] for axis in "xyz"]),
    )
    (stable,) = [trace for trace in figure.data if trace.name == "stable"]
    assert height == pytest.approx(views.picture_height(figure), abs=1)
    for name in ("e-P", "e-O2", "e-Li3PO4"):
        (i,) = [i for i, hover in enumerate(stable.hovertext) if f"  {name}<br>" in hover]
        ((right, up),) = view.seen(np.array([[stable.x[i], stable.y[i], stable.z[i]]]), height).tolist()
        assert name in shown.hover(middle[0] + right, middle[1] - up), name
    shown.page.screenshot(path=pictures / "quaternary-hover.png")


def test_hover_on_a_face_tells_the_range_of_the_potentials(hull, written, show, pictures):
    shown = show(written / "potentials-of-three.html")
    middle, _ = shown.middle_of_scene()
    told = shown.hover(middle[0], middle[1] + 20)
    shown.page.screenshot(path=pictures / "potentials-hover.png")
    assert re.search(r"Δμ\(Li\) .* eV/atom", told)


def test_hover_on_a_region_tells_its_phase(written, show):
    shown = show(written / "potentials-on-two-axes.html")
    box = shown.page.locator("#plot .nsewdrag").first.bounding_box()
    told = shown.hover(box["x"] + 0.25 * box["width"], box["y"] + 0.75 * box["height"])
    assert "e-Fe" in told


def test_what_a_file_says_stays_text(show, tmp_path, pictures):
    """From a file of entries through the command to the screen."""
    per_formula = {"Na": -1.3, "Cl2": -3.6, "NaCl": -7.2, "Na3Cl": -7.6}
    entries = [ComputedEntry(name, energy, entry_id=f"{HOSTILE}{name}") for name, energy in per_formula.items()]
    (tmp_path / "entries.json").write_text(json.dumps([entry.as_dict() for entry in entries]))
    command = [sys.executable, "-m", "matscout", "hull", "Na-Cl", "--entries", "entries.json"]
    plots = ["--plot", "hull.html", "--potentials", "mu.html"]
    subprocess.run([*command, *plots], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    shown = show(tmp_path / "hull.html")
    told = shown.hover_entry("Na3Cl")
    shown.page.screenshot(path=pictures / "hostile.png")
    assert f"{HOSTILE}Na3Cl" in told
    assert shown.page.evaluate("document.images.length") == 0
    assert shown.dialogs == shown.errors == []
    assert shown.page.title() == "Na-Cl hull"
    potentials = show(tmp_path / "mu.html")
    assert potentials.page.evaluate("document.images.length") == 0
    assert potentials.dialogs == potentials.errors == []


def test_the_page_may_not_reach_the_network_even_if_it_tried(written, show):
    shown = show(written / "binary.html")
    refused = shown.page.evaluate(
        """() => new Promise(done => {
            document.addEventListener('securitypolicyviolation', event => done(event.effectiveDirective));
            const image = document.createElement('img');
            image.src = 'http://127.0.0.1:9/x.png';
            document.body.append(image);
        })"""
    )
    assert refused == "img-src"
    assert (
        shown.page.locator("#plot .modebar-btn[data-title*='loud'], #plot .modebar-btn[data-title*='tudio']").count()
        == 0
    )


@pytest.mark.parametrize("kind", ["binary", "quaternary"])
def test_it_prints_on_one_page(kind, written, show, pictures):
    path = pictures / f"{kind}.pdf"
    show(written / f"{kind}.html").page.pdf(path=path, print_background=True, prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", path.read_bytes())) == 1


@pytest.mark.parametrize("screen", SCREENS)
def test_nine_hundred_real_entries(data, screen, show, tmp_path, pictures):
    hull = Hull.from_entries(read_entries(data / "entries" / "Fe_Li_O_P_entries.json.gz"))
    for system in ("Li-O", "Li-Fe-O", "Li-Fe-P-O"):
        write_plot(plot_hull(hull, system), tmp_path / f"{system}.html")
        shown = show(tmp_path / f"{system}.html", screen)
        shown.page.screenshot(path=pictures / f"{system}-{screen}.png")
        assert shown.errors == []
        assert pixels_like(pictures / f"{system}-{screen}.png", STABLE) > 100
