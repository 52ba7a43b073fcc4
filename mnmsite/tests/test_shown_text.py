"""What `ShownText` notices on a page, and the texts of the admin, in a language with brackets around each text."""

from __future__ import annotations

import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import override_settings
from django.urls import reverse
from django.utils import translation
from django.utils.text import capfirst

from mnmsite.tests import pseudo
from mnmsite.tests.shown_text import ShownText

pytestmark = pytest.mark.once

OURS = ("tmtp", "accounts", "auth")
DJANGOS_OWN = {
    "admin",
    "admin@example.com",
    "alt: Search",
    "alt: True",
}  # who reads, and what Django leaves untranslated


UNIT = re.compile(r"^\W*[\d.,]*\W*ms\W*$")


def look(page: str) -> ShownText:
    texts = ShownText()
    texts.feed(page)
    return texts


@pytest.mark.parametrize(
    "page",
    [
        "<p>Hello</p>",
        "<p>⟦Hello⟧ there</p>",
        "<p>⟦Hello ⟦anna⟧⟧, again</p>",
        '<img alt="A picture">',
        '<button aria-label="Remove">⟦Remove⟧</button>',
        '<script data-failed="This did not work."></script>',
        "<p><bdi>anna</bdi> was invited.</p>",
    ],
)
def test_it_notices_what_is_not_translated(page: str) -> None:
    assert look(page).untranslated


@pytest.mark.parametrize(
    "page",
    [
        "<p>⟦Report⟧ ⟦the message from anna⟧</p>",
        '<p><a href="/">⟦Report…⟧<span class="visually-hidden"> ⟦the message from ⟦anna⟧⟧</span></a></p>',
        "<p>⟦Recipients:⟧ <strong>⟦5⟧</strong> ⟦at the moment.⟧</p>",
    ],
)
def test_it_notices_a_sentence_made_of_parts(page: str) -> None:
    assert look(page).pieces


@pytest.mark.parametrize(
    "page",
    [
        "<p>⟦Hello, ⟦anna⟧⟧ · 5</p>",
        '<p><bdi>Hello</bdi> <span class="badge">⟦new⟧</span></p>',
        '<p dir="auto">Hello <em>there</em></p>',
        "<p>⟦It is done.⟧ ⟦see below⟧</p>",
        "<li>⟦one⟧</li><li>⟦two⟧</li>",
        '<script>const word = "Hello";</script>',
    ],
)
def test_it_lets_through_what_is_right(page: str) -> None:
    assert (look(page).untranslated, look(page).pieces) == ([], [])


@pytest.mark.django_db
def test_the_admin_is_translated(admin_client, tmp_path, settings) -> None:
    """Of each model of ours: the list, and the form to add one, if there is one."""
    pseudo.write(tmp_path)
    found, elsewhere = {}, {*DJANGOS_OWN, *names_of_others()}
    with override_settings(LOCALE_PATHS=[tmp_path], LANGUAGES=[*settings.LANGUAGES, (pseudo.CODE, "⟦English⟧")]):
        for path in admin_pages():
            answer = admin_client.get(path, headers={"accept-language": pseudo.CODE})
            if answer.status_code == 200:
                texts = look(answer.content.decode())
                found[path] = [
                    text
                    for text in texts.untranslated + texts.pieces
                    if text not in elsewhere and not UNIT.search(text)
                ]
    translation.deactivate()
    assert len(found) > 20
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


def names_of_others() -> set[str]:
    """Return the names of other packages' apps and models, which are on each page of the admin."""
    others = [app for app in apps.get_app_configs() if not app.label.startswith(OURS)]
    models = [model._meta for app in others for model in app.get_models()]
    return {
        capfirst(name)
        for name in [*(app.verbose_name for app in others), *(one.verbose_name_plural for one in models)]
    }


def admin_pages() -> list[str]:
    models = [model._meta for model in admin.site._registry if model._meta.app_label.startswith(OURS)]
    names = ["admin:index"]
    names += [f"admin:{meta.app_label}_{meta.model_name}_{page}" for meta in models for page in ("changelist", "add")]
    return [reverse(name) for name in [*names, "admin:tmtp_serverlease_figures"]]
