"""What mnm-hammer does, from its first request to its first message, with real processes and real TLS."""

from __future__ import annotations

import html
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from urllib.parse import urlencode, urljoin

import jwt
import pytest

from accounts.provider.conf import CLIENT_ID, make_key
from mnmsite.tests.browser import Site
from tmtp.testing import Client, Closed
from tmtp.tests.axe import violations
from tmtp.tests.keyboard import NARROW_DARK, WIDE_LIGHT, Keyboard
from tmtp.tests.processes import free_port
from tmtp.tests.servers import installation

from .device import FORM, Device

pytestmark = pytest.mark.once
PASSWORD = "scheduled for tests alone 1"


@pytest.fixture(scope="module")
def chess():
    """A site that is its own provider, and two members of it, ann and ben."""
    with installation() as place:
        port = free_port()
        place.env |= {
            "MNM_PROVIDER": "on",
            "MNM_URL": f"http://127.0.0.1:{port}",
            "TMTP_SITE_NAME": "Chess club",
        }
        site = Site(place, None, port)
        with site.other_process() as shell, place.serve() as server:
            site.server, site.shell = server, shell
            shell.run(
                "from django.contrib.auth import get_user_model\n"
                "for name in ('ann', 'ben'):\n"
                f"    get_user_model().objects.create_user(name, f'{{name}}@chess.example', {PASSWORD!r})"
            )
            try:
                site.start()
                yield site
            finally:
                site.stop()


@pytest.fixture
def link(chess):
    """A link to the TMTP service."""
    trusted = ssl.create_default_context(cafile=str(chess.place.folder / "tls" / "cert.pem"))
    with Client(("localhost", chess.server.port), trusted) as client:
        yield client


class Browser:
    """A browser that opens pages, fills in forms and keeps cookies. It follows redirects within the site only."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args):
            return None

    def __init__(self):
        jar = urllib.request.HTTPCookieProcessor(CookieJar())
        self.opener = urllib.request.build_opener(jar, self.Stay)

    def open(self, url, fields=None):
        """Return the address and the page after all redirects within the site, or the address outside it."""
        data = urlencode(fields).encode() if fields is not None else None
        try:
            with self.opener.open(urllib.request.Request(url, data, {"Referer": url}), timeout=20) as answer:
                return url, answer.read().decode()
        except urllib.error.HTTPError as error:
            assert error.code in (302, 303), error.read()
            there = urljoin(url, error.headers["Location"])
        return self.open(there) if there.startswith(urljoin(url, "/")) else (there, "")

    def submit(self, url, page, **fields):
        """Fill in and send the form of a page that has these fields."""
        forms = re.findall(r"<form.*?</form>", page, re.DOTALL)
        form = next(form for form in forms if all(f'name="{name}"' in form for name in fields))
        action = re.search(r'<form[^>]* action="([^"]*)"', form)
        hidden = {}
        for tag in re.findall(r'<input[^>]*type="hidden"[^>]*>', form):
            name, value = (re.search(rf'{key}="([^"]*)"', tag) for key in ("name", "value"))
            hidden[name[1]] = html.unescape(value[1]) if value else ""
        return self.open(urljoin(url, html.unescape(action[1])) if action else url, hidden | fields)


def token_for(device):
    """Return the token that the device gets when ben has signed in and agreed, as mnm-hammer passes it on."""
    browser = Browser()
    page = browser.open(device.login)
    page = browser.submit(*page, username="ben", password=PASSWORD)
    assert "Connect a device to your account ben?" in page[1]
    there, _ = browser.submit(*page, allow="1")
    told = redeem(device, device.called_back(there)["code"])
    return {name.capitalize(): value for name, value in told.items()}


def redeem(device, code):
    request = urllib.request.Request(device.token, device.redeem(code).encode(), {"Content-Type": FORM})
    with urllib.request.urlopen(request, timeout=6) as answer:
        return json.load(answer)


def register(link, **oidc):
    """Send op 1 as mnm-hammer spells it, and return the answer."""
    link.send({"Op": 1, "NewAlias": "_", "NewNode": "x", **oidc})
    return link.receive().header


def refused(chess, **oidc):
    trusted = ssl.create_default_context(cafile=str(chess.place.folder / "tls" / "cert.pem"))
    with Client(("localhost", chess.server.port), trusted) as link:
        link.greet()
        return register(link, **oidc) == {"op": "quit", "error": "authentication required"}


def test_a_device_becomes_its_members_and_gets_their_messages(chess, link):
    link.send({"Op": 0, "Id": "1"})
    greeting = link.receive().header
    assert (greeting["auth"], [provider["label"] for provider in greeting["authby"]]) == (1, ["Chess club"])
    assert refused(chess)

    chess.shell.run(
        "from django.contrib.auth import get_user_model\n"
        "from tmtp.services.messages.sending import send_message\n"
        "send_message(get_user_model().objects.get(username='ben'), 'Welcome', 'Hello **Ben**.')"
    )
    oidc = token_for(Device(greeting["authby"][0]))
    registered = register(link, Oidc=oidc)
    assert registered["op"] == "registered", registered
    assert link.receive().header["info"] == "login ok"
    assert registered["uid"] == chess.shell.run(
        "from django.contrib.auth import get_user_model\n"
        "result = get_user_model().objects.get(username='ben').tmtp_user.uid"
    )
    delivery = link.receive()  # it was sent before he had a device
    assert (delivery.op, delivery.data[-14:]) == ("delivery", b"Hello **Ben**.")
    assert refused(chess, Oidc=oidc), "a token is good once"


def test_a_token_that_is_over_or_somebody_elses_work_is_refused(chess, link):
    key = (chess.place.folder / "openid_key.pem").read_text()
    _, published = Browser().open(f"{chess.url}openid/.well-known/jwks.json")
    now = int(time.time())

    def oidc(lasts, secret=key):
        claims = {"iss": f"{chess.url}openid", "aud": CLIENT_ID, "sub": "1", "iat": now - 2000, "exp": now + lasts}
        return {"Id_token": jwt.encode(claims, secret, "RS256", {"kid": json.loads(published)["keys"][0]["kid"]})}

    assert refused(chess, Oidc=oidc(-100))
    assert refused(chess, Oidc=oidc(900, make_key()))
    link.greet()
    assert register(link, Oidc=oidc(900))["op"] == "registered"


def test_a_member_connects_a_device_in_a_browser(chess, link, chromium):
    """And drops it again. The form redirects to another site, which the page's content security policy must allow."""
    device = Device(link.greet()["authby"][0])
    page = chromium.new_page()
    keys = Keyboard(page, NARROW_DARK)
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(device.login)
    keys.fill("Username or e-mail address", "ann")
    keys.fill("Password", PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Connect a device to your account ann?").wait_for()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert violations(page) == []
    # Nobody listens at the device's address, and Playwright answers no redirected requests: the page becomes an error.
    ended = page.expect_event("framenavigated", lambda frame: frame.url.startswith("chrome-error:"))
    with ended, page.expect_request("http://localhost:8123/**") as redirected:
        keys.press("button", "Connect device")
    told = redeem(device, device.called_back(redirected.value.url)["code"])
    assert register(link, Oidc=told)["op"] == "registered"
    page.goto(f"{chess.url}devices/")
    page.get_by_text("online").last.wait_for()
    keys.look(WIDE_LIGHT)
    keys.reach(page.get_by_role("link", name="Remove x").last)
    page.keyboard.press("Enter")
    keys.press("button", "Remove device")
    page.get_by_text("Device “x” removed.").wait_for()
    with pytest.raises(Closed):
        while True:
            link.receive()
    assert complaints == []
    page.context.close()
