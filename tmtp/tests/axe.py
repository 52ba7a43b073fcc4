"""axe-core in tests of pages: `assert violations(page) == []` on any Playwright page."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT

# what the issue asks for and the best practices that axe knows; see https://www.deque.com/axe
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# run as an expression of the test, which no content security policy of the page gets in the way of
# of these, what depends on colours and on the width of the screen
LOOK = ["color-contrast", "link-in-text-block", "target-size", "scrollable-region-focusable"]
RUN = """async (only) => {
    const found = await axe.run(document, {runOnly: only, resultTypes: ['violations']});
    return found.violations.map(rule => ({id: rule.id, help: rule.help, nodes: rule.nodes.map(
        node => ({html: node.html, why: node.failureSummary}))}));
}"""


def violations(page: Any, *, look_alone: bool = False) -> list[str]:
    """What axe-core has against the page as it stands now; one line for each rule and element that breaks it.

    `page` is a Playwright page of the sync API. Colours are judged as shown: call it once in light and once in dark.
    With `look_alone` only what may be different then is judged.
    """
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(f"() => {{ {AXE_SCRIPT} }}")
    only = {"type": "rule", "values": LOOK} if look_alone else {"type": "tag", "values": TAGS}
    found = page.evaluate(RUN, only)
    return [
        f"{rule['id']}: {rule['help']}: {node['html']}: {' '.join(node['why'].split())}"
        for rule in found
        for node in rule["nodes"]
    ]
