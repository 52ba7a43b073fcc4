"""A member without a mouse, for tests in a browser.

    keys = Keyboard(page, NARROW_DARK)
    page.goto("/mailbox/write/")
    keys.fill("Subject", "Friday")      # press Tab until the field has the focus, and type
    keys.press("button", "Send")        # press Tab until the button has the focus, and Enter
    keys.follow("Mailbox")

Each element that gets the focus on the way must show it, and must be on the screen with nothing on top of it. What is
pressed must not lose the focus, unless it opens another page: a member who is sent back to the beginning of the page
has lost their place.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Selectors

PATIENCE = 80  # how often somebody presses Tab before they give up


class Look(NamedTuple):
    """How a page is shown: colour scheme and size."""

    scheme: str
    width: int
    height: int = 720


WIDE_LIGHT, NARROW_DARK = Look("light", 1280), Look("dark", 360)
WIDE_DARK, NARROW_LIGHT = Look("dark", 1280), Look("light", 360)

FUNCTIONS = Path(__file__).with_suffix(".js").read_text().replace("PATIENCE", str(PATIENCE))
STEPS = "(field, text) => [...field.options].findIndex((one) => one.text === text) - field.selectedIndex"


def register_focus(selectors: Selectors) -> None:
    """Let Playwright find where the focus is.

    It does so where it finds everything else. To evaluate a function with an element, as the page's own scripts would,
    it has to load all its own script once more into each page.
    """
    selectors.register("focus", f"(() => {{ {FUNCTIONS} return focusEngine; }})()", content_script=True)


def focus_problems(page: Page) -> list[str]:
    """Return the controls of the open page that do not show the focus, or are covered when they have it."""
    return list(page.evaluate(f"() => {{ {FUNCTIONS} return focusProblems(); }}"))


class Keyboard:
    """The keyboard of somebody who has nothing else."""

    def __init__(self, page: Page, look: Look | None = None) -> None:
        self.page = page
        self.shown = look
        if look:
            self.look(look)

    def look(self, look: Look) -> None:
        """Show the page like this from now on."""
        self.shown = look
        self.page.set_viewport_size({"width": look.width, "height": look.height})
        self.page.emulate_media(color_scheme=look.scheme, reduced_motion="reduce")  # type: ignore[arg-type]

    def reach(self, target: Locator) -> Locator:
        """Press Tab until an element has the focus, or Shift+Tab if it is further up. Use a link that skips a part."""
        state, pressed = self.aim(target), 0
        assert not state["lost"], f"the focus was lost on {self.page.url}, on the way to {target}"
        while not state["arrived"]:
            assert pressed < PATIENCE and not (pressed and state["nowhere"]), f"no way to {target}: {state['way']}"
            pressed += self.go_on(state)
            state = self.state()
            if state["gone"]:  # the page has replaced it by another one
                state = self.aim(target)
        return target

    def go_on(self, state: dict[str, Any]) -> int:
        """Press Enter on a link that skips a part, or hold Tab until it leads to the element. Return how many keys."""
        keys = self.page.keyboard
        if state["skips"]:
            keys.press("Enter")
            return 1
        times = 1 if state["nowhere"] else min(state["distance"], PATIENCE)
        if state["back"]:
            keys.down("Shift")
        for _ in range(times):
            keys.down("Tab")
        keys.up("Tab")
        if state["back"]:
            keys.up("Shift")
        return times

    def aim(self, target: Locator) -> dict[str, Any]:
        """Choose an element as soon as it can have the focus. Return where the focus is, as seen from it."""
        return self.read(target.locator("focus=aim"))

    def state(self) -> dict[str, Any]:
        """Return where the focus is, as seen from the element that was chosen."""
        return self.read(self.page.locator("focus=state"))

    def read(self, found: Locator) -> dict[str, Any]:
        """Return the state that the page says. Fail if the focus could not be seen somewhere."""
        state: dict[str, Any] = json.loads(found.text_content() or "")
        assert not state["wrong"], f"on {self.page.url}: {state['wrong']}"
        return state

    def find(self, role: str, name: Any, exact: bool = False, within: Locator | None = None) -> Locator:
        return (within or self.page).get_by_role(role, name=name, exact=exact)  # type: ignore[arg-type]

    def press(self, role: str, name: Any, *, exact: bool = False, within: Locator | None = None) -> None:
        """Reach a button or the like, and press Enter."""
        self.reach(self.find(role, name, exact, within))
        self.page.keyboard.press("Enter")

    def follow(self, name: Any, *, exact: bool = False, within: Locator | None = None) -> None:
        """Reach a link, and press Enter."""
        self.press("link", name, exact=exact, within=within)

    def labelled(self, label: Any, exact: bool) -> Locator:
        """Return the field with this label. It may be given itself instead."""
        return self.page.get_by_label(label, exact=exact).filter(visible=True) if isinstance(label, str) else label

    def open(self, summary: str) -> None:
        """Reach a part of the page that is folded up, and open it."""
        self.reach(self.page.locator("summary", has_text=summary))
        self.page.keyboard.press("Enter")

    def fill(self, label: Any, text: str, *, exact: bool = False) -> Locator:
        """Reach a field, and type this instead of what is in it."""
        field = self.reach(self.labelled(label, exact))
        if field.input_value():
            self.page.keyboard.press("Control+a")
            self.page.keyboard.press("Delete")
        self.page.keyboard.insert_text(text)  # at once, as from an input method
        return field

    def toggle(self, label: Any, *, exact: bool = False) -> None:
        """Reach a checkbox, and press the space bar."""
        self.reach(self.labelled(label, exact))
        self.page.keyboard.press("Space")

    def choose(self, label: Any, *, exact: bool = False) -> None:
        """Reach a group of radio buttons, and press an arrow until this one is chosen."""
        wanted = self.page.get_by_role("radio", name=label, exact=exact)
        group = self.page.locator(f"input[type=radio][name={wanted.get_attribute('name')}]")
        chosen = group.and_(self.page.locator(":checked"))
        self.reach(chosen if chosen.count() else group.first)
        if not chosen.count():
            self.page.keyboard.press("Space")
        for _ in range(group.count()):
            if wanted.is_checked():
                break
            self.page.keyboard.press("ArrowDown")
        expect(wanted).to_be_checked()
        expect(wanted).to_be_focused()

    def select(self, label: Any, option: str, *, exact: bool = False) -> None:
        """Reach a list, and press an arrow until this option is chosen."""
        field = self.reach(self.labelled(label, exact))
        steps = field.evaluate(STEPS, option)
        for _ in range(abs(steps)):
            self.page.keyboard.press("ArrowDown" if steps > 0 else "ArrowUp")
        assert field.evaluate("field => field.selectedOptions[0].text") == option
