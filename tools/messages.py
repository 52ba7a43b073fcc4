"""Write the texts of the sources into the catalogues: `make messages`. Translations that are there are kept.

A catalogue is a folder with a file for each language, `LANGUAGE/LC_MESSAGES/django.po`. Each text has the names of the
files that it is in, without the lines, so that a change elsewhere in a file changes no catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parents[1]
# The languages, and how many forms a noun has besides a number, and which numbers go with which form, as in gettext.
LANGUAGES = {
    "ar": "nplurals=6; plural=n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5;",
    "de": "nplurals=2; plural=n != 1;",
    "es": "nplurals=2; plural=n != 1;",
    "fr": "nplurals=2; plural=n > 1;",
    "ja": "nplurals=1; plural=0;",
    "pt": "nplurals=2; plural=n != 1;",
}
CATALOGUES = {"tmtp/locale": ("tmtp",), "locale": ("accounts", "mnmsite", "templates")}  # and the folders they are for
# What is said in a terminal is in English everywhere.
IN_TERMINALS = {"management", "checks", "simulation", "goserver", "backup", "imports", "processes"}
KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop"), None),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), ((1, "c"), 2)),
    **dict.fromkeys(("npgettext", "npgettext_lazy"), ((1, "c"), 2, 3)),
}
NOTES = ("Translators:",)  # a comment that begins so is for translators
HEADER = """msgid ""
msgstr ""
"Language: {language}\\n"
"Plural-Forms: {plurals}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"""


def texts_of(folders: tuple[str, ...]) -> Catalog:
    """Return a catalogue of all texts in the modules and templates of these folders, without translations."""
    found = Catalog(charset="utf-8")
    for file in sources(folders):
        where = [(file.relative_to(ROOT).as_posix(), None)]
        for _line, text, notes, context in extract("python", BytesIO(_python(file)), KEYWORDS, NOTES):
            found.add(text, locations=where, auto_comments=notes, context=context)
    return found


def sources(folders: tuple[str, ...]) -> Iterator[Path]:
    """Yield the modules and templates of these folders whose texts are translated."""
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*")):
            wanted = file.suffix == ".py" or ("templates" in file.parts and file.is_file())
            if wanted and not (IN_TERMINALS | {"tests", "migrations"}) & set(file.relative_to(ROOT).parts):
                yield file


def _python(file: Path) -> bytes:
    """Return the source of a module, or of a template as Django converts it for gettext: calls among other words."""
    text = file.read_text()
    if file.suffix != ".py":
        text = "\n".join(line.lstrip() for line in templatize(text, origin=file.name).splitlines())
    return text.encode()


def update(catalogue: str, language: str) -> None:
    """Add the new texts of the sources to a catalogue, and remove those that are gone. A changed text is new."""
    known = read(catalogue, language)
    known.update(texts_of(CATALOGUES[catalogue]), no_fuzzy_matching=True)
    text = BytesIO()
    write_po(text, known, width=100, omit_header=True, ignore_obsolete=True, include_lineno=False)
    file = path_of(catalogue, language)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{_header(language)}\n{text.getvalue().decode().strip()}\n")


def path_of(catalogue: str, language: str) -> Path:
    """Return the file with the texts of a catalogue in a language."""
    return ROOT / catalogue / language / "LC_MESSAGES" / "django.po"


def read(catalogue: str, language: str) -> Catalog:
    """Return the texts of a catalogue with their translations, or none if there is no such file yet."""
    file = path_of(catalogue, language)
    text = file.read_bytes() if file.exists() else _header(language).encode()
    return read_po(BytesIO(text), locale=language)


def _header(language: str) -> str:
    """Return the first entry of a file: what programs need to know, and nothing that differs each time."""
    return HEADER.format(language=language, plurals=LANGUAGES[language])


def main() -> None:
    for catalogue in CATALOGUES:
        for language in LANGUAGES:
            update(catalogue, language)


if __name__ == "__main__":
    main()
