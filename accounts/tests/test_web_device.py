"""The page that acts as a device, in a real browser with the real service, and the JavaScript client's example."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Page, expect

from tmtp.testing import Client
from tmtp.tests.axe import violations
from tmtp.tests.keyboard import NARROW_DARK, WIDE_LIGHT, Keyboard
from tmtp.tests.raw_client import TLS

pytestmark = pytest.mark.once


@pytest.fixture
def phone(site: Any) -> Any:
    """Return another member's device, over TCP. Its alias is `phone.alias`."""
    with Client(("127.0.0.1", site.server.port), TLS) as client:
        client.greet()
        client.alias = f"bob of {id(client)}"  # type: ignore[attr-defined]
        assert "error" not in client.register("phone", client.alias)  # type: ignore[attr-defined]
        yield client


def register(page: Page, alias: str) -> tuple[str, str]:
    """Register as a new device. Return uid and nodeid."""
    keys = Keyboard(page)
    page.goto("/live/")
    keys.fill("Your name", alias)
    keys.press("button", "Register and connect")
    expect(page.locator("#status")).to_contain_text("registered and connected")
    return page.locator("#new_uid").inner_text(), page.locator("#new_nodeid").inner_text()


def test_a_browser_is_a_device(page: Page, phone: Any) -> None:
    alias = phone.alias.replace("bob", "ann")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.url} {request.headers} {request.post_data}"))
    keys = Keyboard(page, NARROW_DARK)
    uid, nodeid = register(page, alias)
    expect(page.get_by_text("No messages yet.")).to_be_visible()

    ping = {"op": 9, "id": "1", "from": phone.alias, "to": alias}
    assert "error" not in phone.ask(ping, "Déjà là?".encode()).header
    head = b'{"alias":"bob","subject":"Chess on Friday?","threadid":"","attach":[{"name":"u:a","size":3}]}'
    post = {"op": 7, "id": "2", "for": [{"id": uid, "type": 1}], "datahead": len(head)}
    phone.ask(post, head + b"At eight." + b"\0\1\2")
    arrived = page.get_by_role("log").get_by_role("listitem")
    expect(arrived).to_have_count(2)
    expect(arrived.nth(0)).to_contain_text(re.compile(r"Chess on Friday\?.*At eight\.\s*Message", re.DOTALL))
    expect(arrived.nth(1)).to_contain_text(re.compile(r"Déjà là\?\s*Ping", re.DOTALL))
    assert violations(page) == []

    keys.open("Write a message")
    keys.fill("To (user ID)", phone.uid)
    keys.fill("Subject", "Yes")
    keys.fill("Text", "See you 🙂")
    keys.press("button", "Send")
    expect(page.locator("#sent")).to_contain_text("Stored at")
    delivery = phone.next_queued("delivery")
    assert delivery.header["from"] == uid
    assert delivery.data[delivery.header["datahead"] :].decode() == "See you 🙂"

    keys.look(WIDE_LIGHT)
    keys.press("button", "Disconnect")
    keys.reach(page.get_by_role("checkbox"))
    page.keyboard.press("Space")
    keys.press("button", "Connect", exact=True)
    expect(page.get_by_role("button", name="Disconnect")).to_be_visible()
    page.reload()  # the tab remembers the login
    expect(page.locator("#status")).to_contain_text("Connected to")
    expect(arrived).to_have_count(1)  # its own login; everything else was acknowledged
    assert len(asked) > 3
    assert not [request for request in asked if uid in request or nodeid in request]


def test_what_the_service_refuses_is_said(page: Page, phone: Any) -> None:
    keys = Keyboard(page)
    page.goto("/live/")
    assert violations(page) == []
    keys.fill("User ID", phone.uid, exact=True)
    answers = {"9" * 40: "Device not found", "aeiou": "40 characters", phone.nodeid: "already connected"}
    for secret, said in answers.items():
        keys.fill("Device key", secret)
        phone.send({"op": 11})  # it is alive: a device that is silent would be replaced
        keys.press("button", "Connect", exact=True)
        expect(page.locator("#status")).to_contain_text(said)
    keys.fill("Your name", phone.alias)
    keys.press("button", "Register and connect")
    expect(page.locator("#status")).to_contain_text(f"has no name: {phone.alias} is not available")


def test_the_page_comes_back_when_the_website_does(site: Any, page: Page, phone: Any) -> None:
    uid, _ = register(page, phone.alias.replace("bob", "ann"))
    site.stop(signal.SIGTERM)
    try:
        expect(page.locator("#status")).to_contain_text("Reconnecting")
        phone.ask({"op": 7, "id": "1", "for": [{"id": uid, "type": 1}]}, b"While you were away")
    finally:
        site.start()
    # the page waits twice as long after each attempt
    expect(page.get_by_role("log")).to_contain_text("While you were away", timeout=60_000)


def test_the_example_of_the_guide(page: Page, site: Any, phone: Any) -> None:
    """The page runs the module of the guide in place of its own."""
    alias = phone.alias.replace("bob", "ann")
    guide = (Path(settings.BASE_DIR) / "docs" / "how-to" / "websocket.md").read_text()
    (module,) = re.findall(r"^```js\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    assert {"ann of rome", "bob of ulm"} <= set(re.findall(r'"(.*?)"', module))
    module = module.replace("ann of rome", alias).replace("bob of ulm", phone.alias)
    page.route("**/accounts/web_device.js", lambda route: route.fulfill(body=module, content_type="text/javascript"))
    page.goto("/live/")
    assert phone.next_queued("ping").data.decode() == "Hello from mnm"
    phone.ask({"op": 9, "id": "1", "from": phone.alias, "to": alias}, b"Hello yourself")
    expect(page.locator("#arrived")).to_have_text(f"{phone.alias}: Hello yourself")


def test_large_and_odd_bodies_reach_a_page_whole(page: Page, phone: Any) -> None:
    """They go in pieces, both to the server and back."""
    page.goto("/live/")
    page.evaluate("""async () => {
        const { Link } = await import("/static/tmtp/tmtp.js");
        window.came = new Promise((resolve) => {
            window.link = new Link((message) => message.header.op === "delivery" && resolve(message));
        });
        await link.open();
        window.me = await link.register("browser");
    }""")
    size = 3_000_001
    sum_of = "(data) => data.reduce((sum, octet, at) => (sum * 31 + octet + at) % 1000003, 7)"
    sent = page.evaluate(
        f"""async ([size, to]) => {{
        const data = Uint8Array.from({{ length: size }}, (_, at) => (at * at) >> 3);
        await link.post([me.uid], data, {{ subject: "Large" }});
        await link.post([to], data);
        return ({sum_of})(data);
    }}""",
        [size, phone.uid],
    )
    assert page.evaluate(f"""async () => {{
        const {{ header, data }} = await came;
        return [header.datahead, data.length, ({sum_of})(data.subarray(header.datahead))];
    }}""") == [len('{"subject":"Large"}'), size + len('{"subject":"Large"}'), sent]
    assert phone.next_queued("delivery").data == bytes((at * at) >> 3 & 255 for at in range(size))
    refused = "link.post(['1'.repeat(32)], 'x').catch((error) => error.message)"
    assert "not found" in page.evaluate(refused)
