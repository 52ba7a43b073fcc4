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

from typing import TYPE_CHECKING, Any, NamedTuple

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import ElementHandle, Locator, Page

PATIENCE = 80  # how often somebody presses Tab before they give up


class Look(NamedTuple):
    """How a page is shown: colour scheme and size."""

    scheme: str
    width: int
    height: int = 720


WIDE_LIGHT, NARROW_DARK = Look("light", 1280), Look("dark", 360)
WIDE_DARK, NARROW_LIGHT = Look("dark", 1280), Look("light", 360)

# nameOf(element): how a person would call it. focusProblem(element): what is wrong with how it shows the focus, or "".
FUNCTIONS = r"""
const nameOf = (one) => {
  const said = one.getAttribute("aria-label") || one.labels?.[0]?.textContent || one.textContent || one.value || one.name || "";
  return `${one.localName} “${said.trim().replace(/\s+/g, " ").slice(0, 60)}”`;
};
const hasOutline = (one) => {
  const style = getComputedStyle(one);
  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 && !/, 0\)$/.test(style.outlineColor);
};
const focusProblem = (one) => {
  const around = [one, one.closest("label"), one.closest("li"), one.closest(".recipients"), one.closest("tr")];
  if (!around.some((it) => it && hasOutline(it))) return "does not show that it has the focus";
  const box = one.getClientRects()[0] ?? one.getBoundingClientRect();
  const left = Math.max(box.left, 0), right = Math.min(box.right, innerWidth);
  const top = Math.max(box.top, 0), bottom = Math.min(box.bottom, innerHeight);
  if (left > right || top > bottom) return "is not on the screen";
  const above = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
  const own = [one, ...(one.labels ?? [])];
  if (above && !own.some((it) => it.contains(above) || above.contains(it))) return `is covered by ${nameOf(above)}`;
  return "";
};
"""
CONTROLS = "a[href], button, input, select, textarea, summary, [tabindex='0']"
# What is known of the focus, as seen from an element. Each element that Tab leaves is looked at, too.
STATE = f"""(target) => {{
{FUNCTIONS}
const here = document.activeElement, nowhere = here === document.body, lost = nowhere && "way" in document;
const see = () => {{
  const one = document.activeElement;
  if (one === document.body) return;
  document.way.push(nameOf(one));
  const problem = focusProblem(one);
  if (problem) document.wrong.push(`${{nameOf(one)}} ${{problem}}`);
}};
if (!document.way) {{
  document.wrong = [];
  document.addEventListener("keydown", (event) => event.key === "Tab" && see(), true);
}}
document.way = [...(document.way ?? []).slice(-30)];
if (here === target) see();
const back = Boolean(here.compareDocumentPosition(target) & Node.DOCUMENT_POSITION_PRECEDING);
const [from, to] = back ? [target, here] : [here, target];
const between = new Set();
for (const one of document.querySelectorAll("{CONTROLS}")) {{
  if (one.disabled || one.tabIndex < 0 || one === from || one === to || !one.checkVisibility({{visibilityProperty: true}})) continue;
  if (!(from.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING)) continue;
  if (!(one.compareDocumentPosition(to) & Node.DOCUMENT_POSITION_FOLLOWING)) continue;
  between.add(one.type === "radio" ? one.name : one);
}}
return {{
  arrived: here === target, lost, nowhere, back, way: document.way, wrong: document.wrong, distance: between.size + 1,
  skips: here.matches('a[href^="#"]') && Boolean(document.getElementById(here.hash.slice(1))?.contains(target)),
}}; }}"""
EVERYWHERE = f"""() => {{
{FUNCTIONS}
const wrong = [];
const controls = "{CONTROLS}";
for (const one of document.querySelectorAll(controls)) {{
  if (one.disabled || !one.checkVisibility({{visibilityProperty: true}}) || !one.getClientRects().length) continue;
  one.focus();
  if (document.activeElement !== one) continue;
  const problem = focusProblem(one);
  if (problem) wrong.push(`${{nameOf(one)}} ${{problem}}`);
}}
for (const one of document.querySelectorAll("body *")) {{
  if (getComputedStyle(one).cursor !== "pointer" || one.closest(`${{controls}}, label, [role=option], [tabindex]`)) continue;
  wrong.push(`${{nameOf(one)}} is only for the mouse`);
}}
document.activeElement.blur();
scrollTo(0, 0);
return wrong; }}"""


def focus_problems(page: Page) -> list[str]:
    """Return the controls of the open page that do not show the focus, or are covered when they have it."""
    return list(page.evaluate(EVERYWHERE))


class Keyboard:
    """The keyboard of somebody who has nothing else."""

    def __init__(self, page: Page, look: Look | None = None) -> None:
        self.page = page
        if look:
            self.look(look)

    def look(self, look: Look) -> None:
        """Show the page like this from now on."""
        self.page.set_viewport_size({"width": look.width, "height": look.height})
        self.page.emulate_media(color_scheme=look.scheme, reduced_motion="reduce")  # type: ignore[arg-type]

    def state(self, target: ElementHandle | None) -> dict[str, Any]:
        """Return where the focus is, as seen from an element. Fail if it could not be seen on the way there."""
        state: dict[str, Any] = self.page.evaluate(STATE, target)
        assert not state["wrong"], f"on {self.page.url}: {state['wrong']}"
        return state

    def reach(self, target: Locator) -> Locator:
        """Press Tab until an element has the focus, or Shift+Tab if it is further up. Skip what the page lets one skip."""
        expect(target).to_be_visible()
        element = target.element_handle()
        state = self.state(element)
        assert not state["lost"], f"the focus was lost on {self.page.url}, on the way to {target}"
        pressed = 0
        while not state["arrived"]:
            assert pressed < PATIENCE and not (pressed and state["nowhere"]), f"no way to {target}: {state['way']}"
            key = "Enter" if state["skips"] else "Shift+Tab" if state["back"] else "Tab"
            for _ in range(1 if state["skips"] or state["nowhere"] else min(state["distance"], PATIENCE)):
                self.page.keyboard.press(key)
                pressed += 1
            state = self.state(element)
        return target

    def find(self, role: str, name: Any, exact: bool = False, within: Locator | None = None) -> Locator:
        return (within or self.page).get_by_role(role, name=name, exact=exact)  # type: ignore[arg-type]

    def press(self, role: str, name: Any, *, exact: bool = False, within: Locator | None = None) -> None:
        """Reach a button or the like, and press Enter."""
        self.reach(self.find(role, name, exact, within))
        self.page.keyboard.press("Enter")

    def follow(self, name: Any, *, exact: bool = False, within: Locator | None = None) -> None:
        """Reach a link, and press Enter."""
        self.press("link", name, exact=exact, within=within)

    def open(self, summary: str) -> None:
        """Reach a part of the page that is folded up, and open it."""
        self.reach(self.page.locator("summary", has_text=summary))
        self.page.keyboard.press("Enter")

    def fill(self, label: Any, text: str, *, exact: bool = False) -> Locator:
        """Reach a field, and type this instead of what is in it."""
        field = self.reach(self.page.get_by_label(label, exact=exact))
        if field.input_value():
            self.page.keyboard.press("Control+a")
            self.page.keyboard.press("Delete")
        self.page.keyboard.insert_text(text)  # at once, as from an input method
        return field

    def toggle(self, label: Any, *, exact: bool = False) -> None:
        """Reach a checkbox, and press the space bar."""
        self.reach(self.page.get_by_label(label, exact=exact))
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
        """Reach a list, and type the beginning of an option."""
        field = self.reach(self.page.get_by_label(label, exact=exact))
        self.page.keyboard.type(option)
        assert field.evaluate("field => field.selectedOptions[0].text") == option
