"""Each catalogue has all texts of the sources and no others, translated, with the same placeholders, tags and ends."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache

import pytest
from babel.messages.catalog import Catalog, Message
from django.test import override_settings
from django.utils.translation import gettext, override

from mnmsite.tests.pseudo import write_catalogue
from tools import translations
from tools.messages import CATALOGUES, LANGUAGES, path_of, read, texts_of

pytestmark = pytest.mark.once

NAMED = re.compile(r"%\(\w+\)[a-z]|\{\w*\}")
POSITIONAL = re.compile(r"%(?!\()[-+0-9.#]*[a-z]")
PERCENT = re.compile("%%")
TAGS = re.compile(r"</?\w[^>]*>|&\w+;")
EACH = pytest.mark.parametrize(("catalogue", "language"), [(one, two) for one in CATALOGUES for two in LANGUAGES])
read_once = cache(read)
texts_once = cache(texts_of)


def messages(catalogue: Catalog) -> Iterator[Message]:
    return (message for message in catalogue if message.id)


def keys(catalogue: Catalog) -> set[tuple[str, str]]:
    return {(str(message.id), message.context or "") for message in messages(catalogue)}


def forms(message: Message) -> list[tuple[str, str]]:
    """Return pairs of a text and its translation: one, or one for each plural form."""
    if isinstance(message.id, str):
        return [(message.id, message.string)]
    return [(message.id[1], form) for form in message.string]


def differences(message: Message) -> Iterator[str]:
    """Yield what a translation does to its text that it must not do."""
    plural = not isinstance(message.id, str)
    for text, translated in forms(message):
        for what, pattern in (("placeholders", POSITIONAL), ("percent signs", PERCENT), ("tags", TAGS)):
            if Counter(pattern.findall(text)) != Counter(pattern.findall(translated)):
                yield f"{what}: {translated}"
        there, wanted = set(NAMED.findall(translated)), set(NAMED.findall(text))
        last = translated == message.string[-1]
        if there != wanted if not plural or last else not there <= wanted:  # “one message” may do without the number
            yield f"placeholders: {translated}"
        if ends(text) != ends(translated):
            yield f"spaces or lines around it: {translated!r}"


def ends(text: str) -> tuple[str, str]:
    """Return the white space around a text."""
    return text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]


@pytest.mark.parametrize("catalogue", CATALOGUES)
def test_placeholders_beside_a_number_have_names(catalogue: str) -> None:
    """So a translation may do without the number, as in “one message”: with %d, such a text could not be shown."""
    plural = [
        message.id[1] for message in messages(texts_once(CATALOGUES[catalogue])) if not isinstance(message.id, str)
    ]
    assert [text for text in plural if POSITIONAL.search(text)] == []


@EACH
def test_it_has_the_texts_of_the_sources(catalogue: str, language: str) -> None:
    there, wanted = keys(read_once(catalogue, language)), keys(texts_once(CATALOGUES[catalogue]))
    assert (wanted - there, there - wanted) == (set(), set()), "run `make messages`"
    assert not read_once(catalogue, language).obsolete, "run `make messages`"


@EACH
def test_all_is_translated(catalogue: str, language: str) -> None:
    missing = [
        message.id for message in messages(read_once(catalogue, language)) if message.fuzzy or not whole(message)
    ]
    assert missing == [], f"translate these in {path_of(catalogue, language)}, and remove the marks “fuzzy”"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_of_both_catalogues_has_one_translation(language: str) -> None:
    """A site has one of them for both places: give a text that means something else there a context."""
    site, app = ({(m.id, m.context): m.string for m in messages(read_once(one, language))} for one in CATALOGUES)
    assert {text: (site[text], app[text]) for text in site.keys() & app.keys() if site[text] != app[text]} == {}


def whole(message: Message) -> bool:
    """Return whether a text is translated, in all plural forms, and the translation counts."""
    return not message.fuzzy and (all(message.string) if isinstance(message.string, tuple) else bool(message.string))


@EACH
def test_translations_keep_what_programs_need(catalogue: str, language: str) -> None:
    there = read_once(catalogue, language)
    assert there.num_plurals == int(re.findall(r"nplurals=(\d)", LANGUAGES[language])[0])
    assert all(
        len(message.string) == there.num_plurals for message in messages(there) if not isinstance(message.id, str)
    )
    wrong = {
        message.id: found for message in messages(there) if whole(message) and (found := list(differences(message)))
    }
    assert wrong == {}


@pytest.mark.parametrize(("active", "found"), [("pt", True), ("pt-br", True), ("pt-pt", True), ("de", False)])
def test_the_language_of_a_country_falls_back_to_the_language(tmp_path, active: str, found: bool) -> None:
    write_catalogue(tmp_path, "pt", {"Skip to content": "Saltar"})
    with override_settings(LOCALE_PATHS=[tmp_path]), override(active):
        assert (gettext("Skip to content") == "Saltar") == found


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("for %(name)s", "für %(nam)s"),
        ("for %(name)s", "für"),
        ("%d of %d", "%d"),
        ("{name} left", "{} ging"),
        ("100%%", "100 %"),
        ("<b>so</b>", "<b>so"),
        ("so ", "so"),
        ("so\n", "so"),
        (("%d file", "%d files"), ("eine Datei", "%d Dateien")),
        (("%(n)s file", "%(n)s files"), ("%(n)s Datei", "Dateien")),
    ],
)
def test_these_tests_notice(text, translated) -> None:
    assert list(differences(Message(text, translated)))


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("%(a)s of %(b)s", "%(b)s: %(a)s"),
        (("%(n)s file", "%(n)s files"), ("eine Datei", "%(n)s Dateien")),
        ("a <b>b</b>", "<b>b</b> a"),
        ("50%% of", "50 %% von"),
    ],
)
def test_these_tests_let_through(text, translated) -> None:
    assert not list(differences(Message(text, translated)))


@pytest.mark.parametrize(
    "broken", [b'msgid "x"\nmsgstr "\xff"\n', b'msgid ""\nmsgstr "Content-Type: x; charset=none\\n"\n']
)
def test_a_catalogue_that_cannot_be_read_keeps_back_no_other(tmp_path, capsys, broken) -> None:
    paths = [tmp_path / language / "LC_MESSAGES" / "django.po" for language in ("de", "fr")]
    for path, text in zip(paths, (broken, b'msgid ""\nmsgstr "Language: fr\\n"\n'), strict=True):
        path.parent.mkdir(parents=True)
        path.write_bytes(text)
    translations.compile_catalogues(paths)
    assert [path.with_suffix(".mo").exists() for path in paths] == [False, True]
    assert str(paths[0]) in capsys.readouterr().err
