"""axe-core in tests of pages: `assert violations(page) == []` on any Playwright page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT

# WCAG and axe's own best practices, see https://www.deque.com/axe
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# those of the rules that depend on colours and on the screen's width
LOOK = ["color-contrast", "link-in-text-block", "target-size", "scrollable-region-focusable"]
# evaluated by the test itself, so that the page's content security policy cannot forbid it
RUN = """async ([only, excused]) => {
    if (!('axe' in window)) return null;
    const options = {runOnly: only, resultTypes: ['violations'], elementRef: true, preload: {assets: ['media']}};
    const found = await axe.run(document, options);
    const isOurs = (rule, node) => !excused.some(([id, selector]) => id === rule.id && node.element.matches(selector));
    return found.violations.map(rule => ({id: rule.id, help: rule.help, nodes: rule.nodes.filter(
        node => isOurs(rule, node)).map(node => ({html: node.html, why: node.failureSummary}))}));
}"""


def load_with_pages(page: Any) -> None:
    """Load axe-core with each document that `page` opens from now on: for many, that is faster than afterwards."""
    page.add_init_script(AXE_SCRIPT)


def _load(page: Any) -> None:
    """Load axe-core into the open document. `page.evaluate` would parse it three times.

    The session ends with the page: detaching one would turn off the page's virtual authenticators.
    """
    page.context.new_cdp_session(page).send("Runtime.evaluate", {"expression": f"{AXE_SCRIPT};0"})


def violations(page: Any, *, look_alone: bool = False, excused: Sequence[tuple[str, str]] = ()) -> list[str]:
    """Return what axe-core finds in the current page, a line for each rule and element that violates it.

    `page` is a Playwright page of the sync API. Colours are checked as shown, so call it once in light and once
    in dark. With `look_alone`, only rules are checked whose result may differ between these. `excused` has the rules
    that elements of others may violate, each with a selector of these.
    """
    only = {"type": "rule", "values": LOOK} if look_alone else {"type": "tag", "values": TAGS}
    found = page.evaluate(RUN, [only, list(excused)])
    if found is None:
        _load(page)
        found = page.evaluate(RUN, [only, list(excused)])
    return [
        f"{rule['id']}: {rule['help']}: {node['html']}: {' '.join(node['why'].split())}"
        for rule in found
        for node in rule["nodes"]
    ]
