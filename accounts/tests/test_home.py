import re

import pytest
from django import forms
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import RequestFactory
from django.urls import reverse
from django.views import defaults

from accounts.templatetags.pages import OF_AN_ACCOUNT, navigation

pytestmark = pytest.mark.once


@pytest.fixture
def page(client, settings):
    settings.TMTP = {**settings.TMTP, "SITE_NAME": "Chess <club>"}
    return client.get(reverse("accounts:home"))


def test_home_names_the_site(page):
    assert page.status_code == 200
    assert "Chess &lt;club&gt;" in page.text


def test_home_loads_nothing_from_elsewhere(page):
    assert "//" not in page.text.replace("<!doctype html>", "")


def test_the_guide_knows_the_blocks_of_a_page():
    guide = (settings.BASE_DIR / "docs/how-to/templates.md").read_text()
    base = (settings.BASE_DIR / "templates/base.html").read_text()
    for block in re.findall(r"{% block (\w+)", base):
        assert f"`{block}`" in guide
    for block in re.findall(r"^\| `(\w+)`", guide, re.MULTILINE):
        assert f"{{% block {block} %}}" in base


def test_home_only_answers_reads(client):
    assert client.post(reverse("accounts:home")).status_code == 405


@pytest.mark.parametrize(
    "file", ["accounts/site.css", "tmtp/pages.js", "tmtp/pages.css", "accounts/icon.svg", "admin/css/base.css"]
)
def test_static_files_are_served_without_debug(client, file):
    answer = client.get(f"/static/{file}")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith(("text/css", "text/javascript", "image/svg+xml"))


def test_the_policy_forbids_what_is_inline_or_from_elsewhere(page):
    policy = dict(part.strip().split(" ", 1) for part in page["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "object-src": "'none'",
    }


@pytest.mark.django_db
def test_the_admin_is_offered_to_those_who_run_the_site(client):
    admin = f'href="{reverse("admin:index")}"'
    user = get_user_model().objects.create_user("ann")
    client.force_login(user)
    assert admin not in client.get(reverse("accounts:home")).text
    user.is_staff = True
    user.save()
    assert admin in client.get(reverse("accounts:home")).text


def test_the_navigation_leaves_out_pages_that_are_not_there(settings):
    settings.ROOT_URLCONF = "accounts.tests.nothing"
    assert navigation({"request": RequestFactory().get("/")}) == []


@pytest.mark.django_db
def test_the_navigation_knows_all_pages_of_the_account(client):
    client.force_login(get_user_model().objects.create_user("tabs"))
    for name, _label in OF_AN_ACCOUNT:
        page = client.get(reverse(name)).text
        assert '<a href="/account/" aria-current="page">Account</a>' in page, name


def test_an_error_page_needs_no_request(client):
    """Django renders the page of a failed request without a request."""
    answer = defaults.server_error(RequestFactory().get("/"))
    assert answer.status_code == 500
    assert "Server error" in answer.content.decode()
    missing = client.get("/nothing-of-the-kind")
    assert missing.status_code == 404
    assert "Page not found" in missing.text


def test_fields_and_their_errors_are_tied_together():
    """A screen reader announces the label, the help text and the errors of a field."""

    class Name(forms.Form):
        name = forms.CharField(help_text="8 or more", min_length=8)
        note = forms.CharField(required=False)

        def clean(self):
            raise forms.ValidationError("Nothing fits.")

    shown = str(Name({"name": "ann"}))
    assert '<label for="id_name">Name</label>' in shown
    assert 'id="id_name_helptext"' in shown
    assert 'aria-describedby="id_name_helptext id_name_error"' in shown
    assert '<ul class="errorlist" id="id_name_error"><li>Ensure this value has at least 8' in shown
    assert "(optional)" in shown
    assert '<div role="alert"><ul class="errorlist nonfield" tabindex="-1"><li>Nothing fits.' in shown
