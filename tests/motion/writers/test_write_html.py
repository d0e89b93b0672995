"""The page in a real browser: it shows frames, complains of nothing and asks nobody."""

import base64
import dataclasses
import io
import json
import re
import shutil
import time

import numpy as np
import pytest
from people import person
from PIL import Image

from jrepose.motion.motion import save_motions

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    arguments = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=path, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """The page of two people, one of whom comes later; with what it said and asked for."""
    early = person("walking", person="<b>first</b>")
    late = dataclasses.replace(
        early,
        poses_m=early.poses_m + [1, 0, 0],
        person="second",
        first_frame=30,
        notes=("</script><script>alert(1)</script>",),
    )
    path = tmp_path_factory.mktemp("page") / "a.html"
    save_motions(path, [early, late])
    page = browser.new_page(viewport={"width": 500, "height": 300})
    page.set_default_timeout(300_000)
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(path.as_uri())
    wait_for(page, "jrepose.drawn > 0")
    yield page
    page.close()


def wait_for(page, condition):
    # Asked from outside: the page's own policy forbids to evaluate texts in it.
    end = time.monotonic() + 300
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(20)


def change(page, selector, value):
    """As a user would, but without waiting for a calm page, which plays."""
    page.evaluate(
        """([selector, value]) => {
            const control = document.querySelector(selector);
            if (typeof value === "boolean") control.checked = value; else control.value = value;
            for (const kind of ["input", "change"]) control.dispatchEvent(new Event(kind));
        }""",
        [selector, value],
    )


def go(page, frame):
    drawn = page.evaluate("jrepose.drawn")
    change(page, "#time", frame)
    wait_for(page, f"jrepose.frame === {frame} && jrepose.drawn > {drawn}")


def coloured(page):
    """Pixels that are neither white nor grey, in 2D and in 3D."""
    pixels = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
    found, views = np.ptp(pixels, axis=-1) > 60, []
    for view in ("image", "world"):
        box = page.evaluate(f"document.getElementById('{view}').getBoundingClientRect().toJSON()")
        top, bottom, left, right = (round(box[side]) for side in ("top", "bottom", "left", "right"))
        views.append(found[top:bottom, left:right])
    return views


def test_frames_are_drawn_in_2d_and_3d(page):
    go(page, 0)
    alone = coloured(page)
    assert [view.mean() > 0.002 for view in alone] == [True, True]
    assert page.inner_text("#clock") == "frame 0 of 90, 0.00 s"
    go(page, 45)  # the second person has come
    both = coloured(page)
    assert both[1].sum() > 1.4 * alone[1].sum()
    change(page, "#people label:nth-child(2) input", False)
    go(page, 46)
    assert coloured(page)[1].sum() < 0.8 * both[1].sum()
    change(page, "#people label:nth-child(2) input", True)


def test_it_turns_and_plays(page):
    go(page, 80)
    before = coloured(page)
    change(page, "#view", "left")
    go(page, 80)
    turned = coloured(page)
    assert np.array_equal(turned[0], before[0])
    assert (turned[1] != before[1]).sum() > 0.5 * before[1].sum()
    drawn = page.evaluate("jrepose.drawn")
    page.mouse.move(400, 100)
    page.mouse.down()
    page.mouse.move(450, 120)
    page.mouse.up()
    wait_for(page, f"jrepose.drawn > {drawn}")
    assert (coloured(page)[1] != turned[1]).sum() > 0.3 * turned[1].sum()
    change(page, "#follow", True)
    page.keyboard.press("ArrowRight")
    wait_for(page, "jrepose.frame === 81")
    page.keyboard.press("Space")
    # Once round.
    wait_for(page, "jrepose.playing && jrepose.frame < 80")
    page.keyboard.press("Space")
    wait_for(page, "!jrepose.playing")


def test_it_says_nothing_and_asks_nobody(page):
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("file:")] == []
    assert len(page.asked) == 1
    assert page.inner_text("#people").split("person")[1].strip() == "<b>first</b>"
    notes = page.locator("#notes li").all_text_contents()
    assert notes == ["height 1.7 m", "</script><script>alert(1)</script>"]


def test_the_page_is_all_there_is(tmp_path):
    """No address, no other file; the numbers are those of the motion."""
    motion = person()
    text = motion.save(tmp_path / "a.html").read_text("utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]
    outside = re.findall(r'(?:src|href|import|url)\s*[=(]\s*["\']?(?:https?:)?//', text)
    assert not outside
    found = json.loads(re.search('id="motion">(.*?)</script>', text)[1])["people"][0]
    poses = np.frombuffer(base64.b64decode(found["poses"]), "<f4").reshape(-1, 17, 3)
    assert poses == pytest.approx(motion.poses_m, abs=1e-6)
    assert len(text) < 700_000
