"""The checks of the members' pages: what they need from the site."""

from __future__ import annotations

import pytest
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.sessions import SessionMiddlewareStack
from django.core.checks import run_checks
from django.core.checks.registry import registry
from django.test import override_settings

from tmtp.consumers import TmtpConsumer
from tmtp.mailbox import routing

pytestmark = pytest.mark.once

WITHOUT_URLS = "tmtp.delivery.tests.urls"
tcp_only = ProtocolTypeRouter({"tcp": TmtpConsumer.as_asgi()})
with_news = ProtocolTypeRouter({"websocket": SessionMiddlewareStack(URLRouter(routing.websocket_urlpatterns))})


def found(**changed):
    """Return the ids of the checks' messages with these settings."""
    with override_settings(**changed):
        return {one.id for one in run_checks() if one.id.startswith(("tmtp_web", "tmtp_mailbox", "tmtp_pages"))}


def base(settings, tmp_path, text):
    """Return settings with a base template of this content."""
    (tmp_path / "own.html").write_text(text)
    templates = [{**settings.TEMPLATES[0], "DIRS": [tmp_path, *settings.TEMPLATES[0]["DIRS"]]}]
    return {"TEMPLATES": templates, "TMTP": {**settings.TMTP, "BASE_TEMPLATE": "own.html"}}


def test_our_own_site_has_all_that_is_needed():
    assert found() == set()


def test_a_base_template_that_is_missing(settings):
    assert found(TMTP={**settings.TMTP, "BASE_TEMPLATE": "nowhere.html"}) == {"tmtp_web.E001"}


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("{% block title %}{% endblock %}{% block head %}{% endblock %}", {"tmtp_web.E002"}),
        ("{% block title %}{% block head %}{% endblock %}{% endblock %}{% block content %}{% endblock %}", set()),
        ('{% extends "base.html" %}', set()),
        ("{% extends unknown %}", set()),
        ("{% block title %}", {"tmtp_web.E001"}),
        ("{% load nowhere %}", {"tmtp_web.E001"}),
        ('{% extends "nowhere.html" %}', {"tmtp_web.E001"}),
        ('{% extends "own.html" %}', {"tmtp_web.E001"}),
    ],
)
def test_blocks_of_the_base_template(settings, tmp_path, text, ids):
    assert found(**base(settings, tmp_path, text)) == ids


def test_messages_and_sign_in(settings):
    middleware = [one for one in settings.MIDDLEWARE if "MessageMiddleware" not in one]
    assert found(MIDDLEWARE=middleware) == {"tmtp_web.E003"}
    assert found(LOGIN_URL="/nowhere/") == found(LOGIN_URL="nobody:nowhere") == {"tmtp_web.W004"}
    assert found(LOGIN_URL="https://id.example.org/") == found(LOGIN_URL="/sign-in/?with=a") == set()


def test_pages_without_addresses():
    assert {"tmtp_mailbox.W001", "tmtp_pages.W001"} <= found(ROOT_URLCONF=WITHOUT_URLS)


def test_the_route_of_live_news():
    assert found(ASGI_APPLICATION=f"{__name__}.tcp_only") == {"tmtp_mailbox.W002"}
    assert found(ASGI_APPLICATION=f"{__name__}.with_news") == set()
    assert found(ASGI_APPLICATION="nowhere.application") == set()  # tmtp.W010 says so


def test_packages_that_are_missing(settings):
    apps = [app for app in settings.INSTALLED_APPS if app != "django_htmx"]
    assert "tmtp_mailbox.W003" in found(INSTALLED_APPS=apps)


def test_the_service_checks_nothing_that_loads_pages():
    """`runtmtp` runs the checks with the tag “tmtp”, and no others."""
    modules = {check.__module__ for check in registry.get_checks() if "tmtp" in check.tags}
    assert {module.rpartition(".")[0] for module in modules} == {"tmtp.checks"}
