"""A language for tests: each text is itself in brackets, ⟦Sign in⟧, so what was not translated is not in brackets.

It takes the place of Ido (`CODE`), for which Django has no formats. A site offers it if the environment variable
MNM_TESTS_LOCALE names the folder that `write` has written to (`mnmsite.tests.settings`).
"""

from __future__ import annotations

from pathlib import Path

import django
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from tools.messages import CATALOGUES, texts_of

CODE = "io"
BEGIN, END = "⟦⟧"
DJANGO = ("conf", "contrib/admin", "contrib/auth", "contrib/contenttypes")


def write(folder: Path) -> None:
    """Write the catalogue of this language into a folder, for LOCALE_PATHS."""
    pseudo = Catalog(locale=CODE)
    for catalogue in [*map(texts_of, CATALOGUES.values()), *map(_texts_of_django, DJANGO)]:
        for message in catalogue:
            if message.id:
                pseudo.add(message.id, _in_brackets(message.id), context=message.context)
    _compile(folder, pseudo)


def write_catalogue(folder: Path, language: str, translations: dict[str, str]) -> None:
    """Write a catalogue of these texts and their translations into a folder, for LOCALE_PATHS."""
    catalogue = Catalog(locale=language)
    for text, translated in translations.items():
        catalogue.add(text, translated)
    _compile(folder, catalogue)


def _compile(folder: Path, catalogue: Catalog) -> None:
    file = folder / str(catalogue.locale) / "LC_MESSAGES" / "django.mo"
    file.parent.mkdir(parents=True)
    with file.open("wb") as stream:
        write_mo(stream, catalogue)


def _texts_of_django(app: str) -> Catalog:
    """Return a catalogue with the texts of one of Django's apps."""
    with (Path(django.__file__).parent / app / "locale/en/LC_MESSAGES/django.po").open("rb") as stream:
        return read_po(stream)


def _in_brackets(text: str | tuple[str, ...]) -> str | tuple[str, ...]:
    if isinstance(text, tuple):
        return tuple(f"{BEGIN}{one}{END}" for one in text)
    return f"{BEGIN}{text}{END}"
