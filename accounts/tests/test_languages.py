"""The language of the pages, as visitors and members choose it."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import translation

from accounts.languages import language_of
from tmtp.delivery import notices
from tmtp.delivery.languages import in_language_of

pytestmark = [pytest.mark.django_db, pytest.mark.once]

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _no_language_is_left():
    """Requests leave their language behind in the thread."""
    yield
    translation.deactivate()


@pytest.fixture
def member():
    return get_user_model().objects.create_user("ann", password=PASSWORD)


def choose(client: Client, language: str) -> None:
    answer = client.post(
        "/language/", {"language": language}, headers={"referer": "http://testserver/sign-in/?next=/x/"}
    )
    assert (answer.status_code, answer["Location"]) == (302, "http://testserver/sign-in/?next=/x/")


def shown(client: Client, path: str = "/", **headers: str) -> str:
    """Return the language and the direction that a page says it has."""
    page = client.get(path, headers=headers).content.decode()
    _, language, _, direction, *_ = page[page.index("<html") :].split('"')
    return f"{language} {direction}"


def test_a_page_is_in_the_language_of_the_browser_until_one_is_chosen(client):
    assert 'name="language"' in client.get("/").content.decode()
    assert shown(client) == "en ltr"
    assert shown(client, **{"accept-language": "pt-br, en;q=0.5"}) == "pt ltr"
    assert shown(client, **{"accept-language": "ar"}) == "ar rtl"
    choose(client, "fr")
    assert shown(client, **{"accept-language": "ar"}) == "fr ltr"


def test_what_the_site_does_not_have_changes_nothing(client, member):
    client.force_login(member)
    for language in ("xx", "", "../de", "de\0"):
        choose(client, language)
        assert shown(client) == "en ltr"
        assert language_of(member) == ""
    assert client.get("/language/").status_code == 405


def test_one_leads_back_to_this_site_only(client):
    for elsewhere in ({"data": {"next": "https://evil.example/"}}, {"headers": {"referer": "https://evil.example/"}}):
        data = {"language": "de", **elsewhere.get("data", {})}
        assert client.post("/language/", data, headers=elsewhere.get("headers")).headers["Location"] == "/"


def test_a_members_choice_counts_in_every_browser(client, member):
    client.force_login(member)
    choose(client, "de")
    other = Client(headers={"accept-language": "ja"})
    assert shown(other) == "ja ltr"
    other.post("/sign-in/", {"username": "ann", "password": PASSWORD})
    assert shown(other, "/account/") == "de ltr"
    choose(other, "es")
    assert shown(other, "/account/") == "es ltr"
    assert language_of(member) == "es"


def test_what_a_worker_writes_is_in_the_members_language(member, settings, monkeypatch):
    settings.TMTP_DELIVERY = {**settings.TMTP_DELIVERY, "SITE_URL": "https://chess.example"}
    monkeypatch.setattr(notices, "render_to_string", lambda name, context: translation.get_language())
    assert notices.notice(member, "ann@example.org").subject == "en"
    choose_for(member, "ja")
    assert notices.notice(member, "ann@example.org").subject == "ja"
    assert translation.get_language() == "en"


def test_a_worker_takes_the_next_best_language(member):
    for chosen, otherwise, expected in [
        ("", "", "en"),
        ("", "de-at", "de"),
        ("tlh", "fr", "fr"),
        ("tlh", "tlh", "en"),
        ("pt-br", "fr", "pt"),
    ]:
        choose_for(member, chosen)
        with in_language_of(member, otherwise):
            assert translation.get_language() == expected


def choose_for(member, language: str) -> None:
    from accounts.models import ChosenLanguage

    ChosenLanguage.objects.update_or_create(user=member, defaults={"language": language})
