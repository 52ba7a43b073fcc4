"""A site with django-allauth and its own base template adds the mailbox and the members' pages, as the guides say.

It uses nothing of this project's own site: other settings, another sign-in, another design.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tmtp.tests.axe import violations
from tmtp.tests.processes import die_with_parent, free_port, wait_for_port
from tmtp.tests.sites import new_project

pytestmark = pytest.mark.once

GUIDES = Path(__file__).resolve().parents[3] / "docs" / "how-to"
PASSWORD = "a Password of 26 letters"
SETTINGS = """
INSTALLED_APPS = ["daphne", *INSTALLED_APPS, "allauth", "allauth.account"]
MIDDLEWARE += ["allauth.account.middleware.AccountMiddleware"]
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
ACCOUNT_EMAIL_VERIFICATION = "none"
TEMPLATES[0]["DIRS"] = [BASE_DIR / "templates"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ALLOWED_HOSTS = ["127.0.0.1"]
"""
URLS = """
from django.urls import include
from django.views.generic import TemplateView
urlpatterns += [
    path("", TemplateView.as_view(template_name="home.html")),
    path("login/", include("allauth.urls")),
]
"""
# A design of its own, with CSS classes of the same names as this project's.
BASE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{% block title %}{% endblock %} - Chess shop</title>
  <style>
    body { margin: 0; background: #fdf6ec; color: #222; font: 17px/1.5 Georgia, serif; }
    header { padding: 0.75rem 1.5rem; background: #5b3a1e; color: #fff; }
    header a { color: #fff; margin-right: 1rem; }
    .container { max-width: 60rem; margin: 0 auto; padding: 1rem 1.5rem; }
    .row { display: flex; margin: 0 -15px; }
    .row > * { width: 100%; padding: 0 15px; }
    .button { background: #5b3a1e; color: #fff; border-radius: 0; text-transform: uppercase; }
    .badge { background: #777; color: #fff; }
    h1 { font-size: 3rem; }
  </style>
  {% block head %}{% endblock %}
</head>
<body>
  <header><nav aria-label="Shop"><a href="/">Chess shop</a>
    {% if user.is_authenticated %}<a href="{% url 'tmtp_mailbox:mailbox' %}">Messages</a>
    <a href="{% url 'tmtp_pages:devices' %}">Devices</a>{% else %}
    <a href="{% url 'account_signup' %}">Join</a>{% endif %}
  </nav></header>
  <main class="container">
    {% for message in messages %}<p class="shop-message">{{ message }}</p>{% endfor %}
    {% block content %}{% endblock %}
  </main>
</body>
</html>
"""
HOME = """{% extends "base.html" %}{% block content %}<h1>Welcome, {{ user }}</h1>{% endblock %}"""
SEND = """
from django.contrib.auth import get_user_model
from tmtp.messaging import send_message
send_message(get_user_model().objects.get(username="ann"), "Your order", "The **board** is on its way.")
"""


def guide(name):
    """Return the Python lines of a guide, block by block."""
    return re.findall(r"^```python\n(.*?)^```$", (GUIDES / f"{name}.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Return the site, served by `runserver` at `url`, and what its checks have said."""
    site = new_project(tmp_path_factory.mktemp("shop"))
    existing, sqlite, *_ = guide("existing-site")
    in_settings, in_urls, in_asgi, _ = guide("mailbox")
    pages_settings, pages_urls, _ = guide("members-pages")
    settings = [SETTINGS, existing.replace("mysite", "chess"), sqlite, in_settings, pages_settings]
    site.write({"chess/settings.py": "".join(settings)})
    site.write({"chess/urls.py": URLS + in_urls + pages_urls})
    site.write({"chess/asgi.py": in_asgi})
    site.write({"templates/base.html": BASE})
    site.write({"templates/home.html": HOME})
    checks = [["check"], ["makemigrations", "--check", "--dry-run"]]
    site.said = site.manage_all(["tmtpcert"], ["migrate", "--verbosity=0"], *checks)
    port = free_port()
    log = site.folder / "web.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"],
            cwd=site.folder,
            env=site.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=die_with_parent(),
        )
    try:
        wait_for_port(port, lambda: f"{process.poll()}: {log.read_text()}")
        site.url = f"http://127.0.0.1:{port}/"
        yield site
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def page(chromium, shop):
    context = chromium.new_context(base_url=shop.url)
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


def looks_right(page, name):
    """Check that a page is inside the shop's base template, accessible, and no wider than a phone.

    The variable SCREENSHOTS names a folder for pictures."""
    expect(page.get_by_role("link", name="Chess shop", exact=True)).to_be_visible()
    assert page.title().endswith(" - Chess shop")
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(page) == []
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=f"{folder}/{name}-{width}.png", full_page=True)


def sign_up(page, name):
    """Fill in the form of django-allauth."""
    page.locator("#id_username").fill(name)
    page.locator("#id_email").fill(f"{name}@example.org")
    page.locator("#id_password1").fill(PASSWORD)
    page.locator("#id_password2").fill(PASSWORD)
    page.get_by_role("button", name="Sign Up").click()


def test_the_site_has_nothing_left_to_do(shop):
    assert "no issues" in shop.said
    assert "No changes" in shop.said


def test_a_member_signs_in_reads_and_writes(shop, page):
    page.goto("/mailbox/")  # not signed in: redirects to the sign-in page, and back
    page.get_by_role("link", name="sign up", exact=True).click()
    sign_up(page, "ann")
    expect(page.get_by_role("heading", name="No messages in the inbox")).to_be_visible()
    looks_right(page, "empty")

    shop.manage("shell", "--verbosity=0", "--command", SEND)
    link = page.get_by_role("link", name="Your order")  # it appears without a reload
    expect(link).to_be_visible()
    looks_right(page, "mailbox")
    link.click()
    expect(page.locator("strong", has_text="board")).to_be_visible()
    looks_right(page, "thread")

    page.goto("/account/aliases/")
    page.get_by_label("New name").fill("ann of rome")
    page.get_by_role("button", name="Add name").click()
    expect(page.locator(".shop-message")).to_have_text("Name “ann of rome” added.")
    looks_right(page, "names")

    page.goto("/mailbox/write/")
    looks_right(page, "write")
    page.get_by_label("To", exact=True).fill("My site website")
    page.get_by_label("Subject").fill("Thank you")
    page.get_by_label("Message", exact=True).fill("It has *arrived*.")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", level=1, name="Thank you")).to_be_visible()
    expect(page.locator("em", has_text="arrived")).to_be_visible()
    expect(page.locator(".shop-message")).to_have_text("Sent.")


def test_the_members_pages_are_there(shop, page):
    page.goto("/login/signup/")
    sign_up(page, "bob")
    expect(page.get_by_role("heading", name="Welcome, bob")).to_be_visible()
    for path, name in (
        ("devices/", "devices"),
        ("devices/new/", "device"),
        ("groups/", "groups"),
        ("account/presence/", "presence"),
        ("account/blocked/", "blocked"),
    ):
        page.goto(f"/{path}")
        looks_right(page, name)
