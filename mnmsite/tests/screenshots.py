"""Make the screenshots of docs/tour.md and docs/pages.md: `python -m mnmsite.tests.screenshots docs`.

The tour shows selected pages. pages.md shows every page light and dark, wide and narrow, side by side. With --png,
each of these is a file of its own, in full size, for work on a template or the stylesheet. The browser makes the WebP
files.
"""

from __future__ import annotations

import argparse
import base64
import os
from pathlib import Path
from typing import Any, NamedTuple

from mnmsite.tests.people import ANNA, BETWEEN, COMING, NEW, VISITOR

WIDE, NARROW = 1280, 360
HEIGHT = 800
EVERY_PAGE = """# Every page

This page shows the first screen of each of the site's pages, wide and narrow, light and dark. Some pages appear more
than once, as different members see them. [The tour](tour.md) shows the main pages larger, and explains them.
`make screenshots` makes this page.
"""
FOR = {VISITOR: "a visitor", ANNA: "a member", NEW: "a new member", COMING: "a visitor who is signing up"}
FOR[BETWEEN] = "a member who is signing in"
GAP = 24  # pixels between pictures side by side, before they are scaled
SIDE_BY_SIDE = """async ([pictures, scale, gap, quality]) => {
    const images = await Promise.all(pictures.map(async (png) => {
        const image = new Image();
        image.src = 'data:image/png;base64,' + png;
        await image.decode();
        return image;
    }));
    const width = images.reduce((sum, image) => sum + image.width, gap * (images.length - 1));
    const canvas = document.createElement('canvas');
    canvas.width = width * scale;
    canvas.height = Math.max(...images.map((image) => image.height)) * scale;
    const context = canvas.getContext('2d');
    context.imageSmoothingQuality = 'high';
    context.scale(scale, scale);
    let x = 0;
    for (const image of images) {
        context.drawImage(image, x, 0);
        x += image.width + gap;
    }
    return canvas.toDataURL('image/webp', quality).split(',')[1];
}"""


class Look(NamedTuple):
    """A way to show a page: colour scheme and width."""

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
    """Return the four looks, with the suffixes of their pictures' names."""
    return [
        (f"{size}-{scheme}", Look(scheme, width))
        for size, width in (("wide", WIDE), ("narrow", NARROW))
        for scheme in ("light", "dark")
    ]


def take(browser: Any, scene: Any, shown: Any, look: Look, *, whole: bool) -> bytes:
    """Return a screenshot (PNG) of a whole page, or of the part that fits on the screen."""
    size = {"width": look.width, "height": look.height}
    with browser.new_context(
        base_url=scene.site.url,
        color_scheme=look.scheme,
        viewport=size,
        reduced_motion="reduce",
        service_workers="block",
    ) as context:
        page = context.new_page()
        scene.open(page, shown)
        return bytes(page.screenshot(full_page=whole))


def write(tool: Any, file: Path, *pictures: bytes, scale: float = 1, quality: float = 0.86) -> None:
    """Write pictures (PNG) side by side into a WebP file."""
    encoded = [base64.b64encode(png).decode() for png in pictures]
    webp = tool.evaluate(SIDE_BY_SIDE, [encoded, scale, GAP, quality])
    file.write_bytes(base64.b64decode(webp))


def tour(browser: Any, scene: Any, folder: Path) -> None:
    """Make the pictures of docs/tour.md."""
    pages = {shown.name: shown for shown in scene.every_page()}
    tool = browser.new_page()
    for name, look in TOUR.items():
        png = take(browser, scene, pages[name.removesuffix("-narrow")], look, whole=False)
        write(tool, folder / f"{name}.webp", png)


def every_page(browser: Any, scene: Any, docs: Path) -> None:
    """Write docs/pages.md and its pictures. A visit marks messages as read, so a page's looks follow each other."""
    tool, page = browser.new_page(), browser.new_page(base_url=scene.site.url, service_workers="block")
    lines = [EVERY_PAGE]
    for shown in scene.every_page():
        looks = [take(browser, scene, shown, look, whole=False) for _, look in every_look()]
        write(tool, docs / "images/pages" / f"{shown.name}.webp", *looks, scale=0.5, quality=0.7)
        scene.open(page, shown)
        heading = page.get_by_role("heading", level=1).inner_text()
        alternative = f"“{heading}”, for {FOR[shown.who]}: four times, light and dark, wide and narrow"
        lines.append(f"## {heading}\n\n![{alternative}](images/pages/{shown.name}.webp)\n")
    (docs / "pages.md").write_text("\n".join(lines))


def in_full(browser: Any, scene: Any, folder: Path) -> None:
    """Write a file for every page in every look."""
    for shown in scene.every_page():
        for ending, look in every_look():
            (folder / f"{shown.name}-{ending}.png").write_bytes(take(browser, scene, shown, look, whole=True))


def main() -> None:
    """Make the screenshots, in the environment of tests: a temporary folder and database."""
    parser = argparse.ArgumentParser(description="Pictures of the site’s pages.")
    parser.add_argument("folder", type=Path, help="where they go")
    parser.add_argument("--png", action="store_true", help="every page, light and dark, wide and narrow, each a file")
    options = parser.parse_args()
    import conftest

    conftest.prepare("sqlite")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mnmsite.settings")
    from playwright.sync_api import sync_playwright

    from mnmsite.tests.browser import launch
    from mnmsite.tests.scene import staged_site

    images = options.folder / "images"
    (options.folder if options.png else images / "pages").mkdir(parents=True, exist_ok=True)
    with staged_site() as scene, sync_playwright() as playwright:
        browser = launch(playwright.chromium)
        if options.png:
            in_full(browser, scene, options.folder)
        else:
            tour(browser, scene, images)
            every_page(browser, scene, options.folder)
        browser.close()


if __name__ == "__main__":
    main()
