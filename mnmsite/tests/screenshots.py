"""Pictures of the pages: `python -m mnmsite.tests.screenshots docs/images` makes those of docs/tour.md again.

With --all, of every page in every look, as PNG: light and dark, wide and narrow, for who changes a template or the
stylesheet. The browser itself makes WebP of what it shows.
"""

from __future__ import annotations

import argparse
import base64
from pathlib import Path
from typing import Any, NamedTuple

WIDE, NARROW = 1280, 360
HEIGHT = 800
TO_WEBP = """async ([png, quality]) => {
    const image = new Image();
    image.src = 'data:image/png;base64,' + png;
    await image.decode();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext('2d').drawImage(image, 0, 0);
    return canvas.toDataURL('image/webp', quality).split(',')[1];
}"""


class Look(NamedTuple):
    """How a page is looked at."""

    scheme: str = "light"
    width: int = WIDE
    height: int = HEIGHT


TOUR = {
    "home": Look(height=740),
    "mailbox": Look(),
    "mailbox-narrow": Look(width=NARROW),
    "thread": Look(height=900),
    "devices": Look(height=560),
    "device-new": Look(height=1130),
    "group": Look(scheme="dark", height=900),
    "thread-narrow": Look(scheme="dark", width=NARROW),
    "account": Look(height=720),
}


def every_look() -> list[tuple[str, Look]]:
    """The four of them, with what a picture's name ends in."""
    return [
        (f"{size}-{scheme}", Look(scheme, width))
        for size, width in (("wide", WIDE), ("narrow", NARROW))
        for scheme in ("light", "dark")
    ]


def take(browser: Any, scene: Any, shown: Any, look: Look, *, whole: bool) -> bytes:
    """A picture of a page, PNG; of all of it or of what fits on the screen."""
    size = {"width": look.width, "height": look.height}
    with browser.new_context(
        base_url=scene.site.url, color_scheme=look.scheme, viewport=size, reduced_motion="reduce"
    ) as context:
        page = context.new_page()
        scene.open(page, shown)
        return bytes(page.screenshot(full_page=whole))


def tour(browser: Any, scene: Any, folder: Path) -> None:
    """The pictures of docs/tour.md."""
    pages = {shown.name: shown for several in scene.pages.values() for shown in several}
    tool = browser.new_page()
    for name, look in TOUR.items():
        png = take(browser, scene, pages[name.removesuffix("-narrow")], look, whole=False)
        webp = tool.evaluate(TO_WEBP, [base64.b64encode(png).decode(), 0.86])
        (folder / f"{name}.webp").write_bytes(base64.b64decode(webp))


def everything(browser: Any, scene: Any, folder: Path) -> None:
    """Every page in every look. What is read on one is read on the next, so a page's looks follow each other."""
    for several in scene.pages.values():
        for shown in several:
            for ending, look in every_look():
                (folder / f"{shown.name}-{ending}.png").write_bytes(take(browser, scene, shown, look, whole=True))


def main() -> None:
    """Run it. The environment of tests is made first: a folder and a database of its own."""
    parser = argparse.ArgumentParser(description="Pictures of the site’s pages.")
    parser.add_argument("folder", type=Path, help="where they go")
    parser.add_argument("--all", action="store_true", help="every page, light and dark, wide and narrow")
    options = parser.parse_args()
    import conftest

    conftest.prepare("sqlite")
    from playwright.sync_api import sync_playwright

    from mnmsite.tests.browser import launch
    from mnmsite.tests.scene import staged_site

    options.folder.mkdir(parents=True, exist_ok=True)
    with staged_site() as scene, sync_playwright() as playwright:
        browser = launch(playwright)
        (everything if options.all else tour)(browser, scene, options.folder)
        browser.close()


if __name__ == "__main__":
    main()
