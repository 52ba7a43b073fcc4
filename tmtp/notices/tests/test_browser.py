"""The service worker, the offline page, notices of open pages, with the keyboard alone."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from mnmsite.tests.browser import WITH_WINDOWS, launch, running_loop
from tmtp.mailbox.tests.test_browser import MEMBER, SENT
from tmtp.notices.tests.push_service import Browser
from tmtp.tests.axe import violations
from tmtp.tests.keyboard import NARROW_DARK, WIDE_LIGHT, Keyboard
from tmtp.tests.people import unique

pytestmark = pytest.mark.once
SHOWN = """async () => {
  const registration = await navigator.serviceWorker.ready;
  for (let tries = 0; tries < 300; tries++) {
    const shown = await registration.getNotifications();
    if (shown.length) return shown.map((one) => [one.title, one.body, one.data.url]);
    await new Promise((again) => setTimeout(again, 50));
  }
  return [];
}"""
KEPT = """async () => {
  const found = [];
  for (const name of await caches.keys()) {
    for (const request of await (await caches.open(name)).keys()) found.push(new URL(request.url).pathname);
  }
  return found;
}"""
WIDTH = """async (src) => (await createImageBitmap(await (await fetch(src)).blob())).width"""
# The first request that says that the member looks at this page is overtaken by the next one: that the page was left.
LATE_WORD = """() => {
  const fetchAtOnce = window.fetch;
  let late = null, first = true;
  window.fetch = (url, options) => {
    const tells = String(url).includes("/looking/");
    if (tells && first && String(options.body).includes("visible")) {
      first = false;
      return new Promise((answered) => { late = () => answered(fetchAtOnce(url, options)); });
    }
    const answer = fetchAtOnce(url, options);
    if (tells && late) {
      late();
      late = null;
    }
    return answer;
  };
}"""
FREEZE = """() => document.dispatchEvent(new Event("freeze"))"""
CLOSE = """async () => {
  for (const one of await (await navigator.serviceWorker.ready).getNotifications()) one.close();
}"""
HIDE = """() => {
  Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
MAKE_KEY = """
from pathlib import Path
from tmtp.notices import vapid
from tmtp.notices.conf import conf
vapid.make(Path(conf.VAPID_KEY))
result = conf.VAPID_KEY
"""
SUBSCRIBED = """
from tmtp.notices.models import Preferences, Subscription
mine = Subscription.objects.filter(account__username={name!r})
result = [list(mine.values_list("endpoint", flat=True)), Preferences.objects.get(account__username={name!r}).push]
"""
# Chromium has no push service in the profiles that tests use: only its answer is another one's.
SUBSCRIBE = "PushManager.prototype.subscribe = async () => ({{ toJSON: () => ({answer}) }});"


@pytest.fixture
def chromium(shared_chromium):
    """Return the Chromium with windows: the other one lets no site notify."""
    browser, loop = shared_chromium
    with running_loop(loop), contextlib.closing(launch(browser.browser_type, program=WITH_WINDOWS)) as other:
        yield other


def test_installed_offline_and_told(site, other, new_page):
    name = unique("reader")
    session, _uid = other.run(MEMBER.format(name=name))
    page = new_page(service_workers="allow", permissions=["notifications"])
    page.context.add_cookies([{"name": "sessionid", "value": session, "url": site.url}])
    page.goto("/notifications/")

    # The manifest and the service worker
    manifest = page.request.get(page.locator("link[rel=manifest]").get_attribute("href")).json()
    assert (manifest["display"], manifest["start_url"], manifest["scope"]) == ("standalone", "/mailbox/", "/")
    for icon in manifest["icons"]:
        width = page.evaluate(WIDTH, icon["src"])
        assert f"{width}x{width}" == icon["sizes"]
    page.wait_for_function("() => navigator.serviceWorker.controller")

    # A notice of an open page in the background: from one of two tabs
    second = page.context.new_page()
    second.add_init_script(f"({LATE_WORD})()")
    second.goto("/devices/")
    page.bring_to_front()
    keys = Keyboard(page, NARROW_DARK)
    keys.press("button", "Turn on in this browser")
    expect(page.get_by_text("Notifications are on in this browser while a page")).to_be_visible()
    page.wait_for_function("() => Object.keys(localStorage).some((key) => key.startsWith('tmtp_notices_last'))")
    for one in (page, second):
        one.evaluate(HIDE)
    other.run(SENT.format(name=name, subject="Shipped", text="Today"))
    ((title, body, url),) = page.evaluate(SHOWN)
    assert (title, body) == ("mnm website", "Shipped")

    # The tab that has shown it is frozen, and a third one is being closed
    page.evaluate(CLOSE)
    third = page.context.new_page()
    third.add_init_script(f"({LATE_WORD})()")
    third.goto("/devices/")
    third.close()
    page.evaluate(FREEZE)
    other.run(SENT.format(name=name, subject="Delivered", text="Tomorrow"))
    assert [body for _title, body, _url in second.evaluate(SHOWN)] == ["Delivered"]
    second.goto(url)
    expect(second.get_by_role("heading", level=1)).to_have_text("Shipped")

    # Without a connection
    page.context.set_offline(True)
    page.goto("/mailbox/")
    expect(page.get_by_role("heading", level=1)).to_have_text("No connection")
    assert "rgb" in page.get_by_role("link", name="Try again").evaluate("it => getComputedStyle(it).backgroundColor")
    kept = page.evaluate(KEPT)
    assert sorted(path.rsplit("/", 1)[-1].split(".")[0] for path in kept) == ["", "icon-192", "offline"]
    assert "/notifications/offline/" in kept
    page.context.set_offline(False)
    keys.follow("Try again")
    expect(page.get_by_role("heading", level=1)).to_have_text("Mailbox")
    turn_on_web_push(keys, other, name)


def turn_on_web_push(keys, other, name):
    """Once the site has a key: turn notices off and on again in this browser, and choose of what they tell."""
    page, phone = keys.page, Browser("https://push.example.org/a-browser")
    answer = {"endpoint": phone.form["endpoint"], "keys": {one: phone.form[one] for one in ("p256dh", "auth")}}
    page.add_init_script(SUBSCRIBE.format(answer=json.dumps(answer)))
    key = Path(other.run(MAKE_KEY))
    try:
        page.goto("/notifications/")
        keys.press("button", "Turn off in this browser")
        keys.look(WIDE_LIGHT)
        keys.press("button", "Turn on in this browser")
        expect(page.get_by_text("also while no page of this site is open")).to_be_visible()
        keys.toggle(page.get_by_role("group", name="While no page is open").get_by_label("Pings"))
        keys.press("button", "Save")
        expect(page.get_by_text("Your changes have been saved.")).to_be_visible()
        assert violations(page) == []
        assert other.run(SUBSCRIBED.format(name=name)) == [[phone.endpoint], ["messages", "groups"]]
        keys.press("button", "Turn off in this browser")
        expect(page.get_by_role("button", name="Turn on in this browser")).to_be_focused()
        assert other.run(SUBSCRIBED.format(name=name))[0] == []
    finally:
        key.unlink()
