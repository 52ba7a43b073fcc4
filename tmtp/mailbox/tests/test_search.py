"""The search in texts of all scripts: it finds the words that are there, however they are typed, and no others."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tmtp.mailbox import search
from tmtp.mailbox.models import Entry, Thread
from tmtp.mailbox.search import Words
from tmtp.mailbox.words import fold

from .mailboxes import member

pytestmark = pytest.mark.django_db

ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
FAMILY = "👨\u200d👩\u200d👧"


def keep(text: str, field: str = "text") -> Entry:
    """Index a message with this text, subject or name in a new mailbox."""
    _account, node = member()
    thread = Thread.objects.create(node=node, key="key", subject="", first=1, latest=1)
    entry = Entry.objects.create(node=node, number=1, thread=thread, kind="delivery", uid="", alias="", subject="")
    texts = ["", "", ""]
    texts[search.FIELDS.index(field)] = text
    search.add([(entry.pk, Words.of(node.pk, *texts))])
    return entry


def finds(entry: Entry, text: str, *fields: str) -> bool:
    return list(search.entries_with(entry.node_id, text, fields or search.FIELDS)) == [entry]


@pytest.mark.parametrize(
    ("text", "sought"),
    [
        ("ภาษาไทยไม่เว้นวรรค", ["ไทย", "ไม่", "เว้นวรรค"]),
        ("ខ្ញុំស្រលាញ់ភាសាខ្មែរ", ["ភាសា", "ខ្មែរ"]),
        ("ພາສາລາວງາມ", ["ລາວ"]),
        ("မြန်မာစာလုံး", ["စာ", "မြန်မာ"]),
        ("हिन्दी में लिखा", ["हिन्दी", "हिन्", "लिखा"]),
        ("私は東京に住む", ["東京", "京", "東京に住む", "住む"]),
        ("동해물과 백두산이", ["해물", "백두산", "두산이", "백"]),
        ("co\u00adop\u00aderate, ze\u200bro", ["cooperate", "zero", "coop\u00aderate"]),
        ("می\u200cخواهم مُحَمَّد", ["میخواهم", "می\u200cخواهم", "محمد"]),
        (
            "Łódź, Øresund, Đorđe, Straße, Ærø, cœur, þorn",
            ["lodz", "ØRESUND", "dorde", "STRASSE", "aero", "Coeur", "thorn"],
        ),
        ("İstanbul ıssız ΟΔΟΣ", ["istanbul", "ISSIZ", "οδος", "οδοσ", "οδός"]),
        ("ﬁnal № 𝐇ello ｈａｌｆ ﾊﾝｶｸ ㈱ ①", ["final", "no", "hello", "half", "ハンカク", "株", "1"]),
        ("ガラス", ["か\u3099ラス".replace("か", "カ"), "ガラス"]),
        ("well done 👍🏽", ["👍", "👍🏽", "👍🏿", "done"]),
        (f"us{FAMILY}here", [FAMILY, "👩", "us", "here"]),
        ("🇫🇷🇩🇪 🏳️\u200d🌈", ["🇩🇪", "🇫🇷", "🏳️\u200d🌈", "🏳"]),
        (f"{ENGLAND}!", [ENGLAND]),
        ("❤️ 5 €", ["❤", "❤️", "€"]),
        ("п’ять", ["п'ять", "пʼять"]),
        ("𐌰𐌱 𞤀𞤣 ⲁⲃ", ["𐌰", "𞤢𞤣".replace("𞤢", "𞤀"), "ⲁⲃ"]),
        ("x" * 90 + "y", ["x" * 90 + "y", "x" * 70]),
    ],
)
def test_what_is_there_is_found(text: str, sought: list[str]) -> None:
    entry = keep(text)
    assert [word for word in sought if not finds(entry, word)] == []


@pytest.mark.parametrize(
    ("text", "sought"),
    [
        ("大阪の東の京", ["東京", "阪大"]),
        ("東京と京都", ["東京都", "京東"]),
        ("東京大会で京大学生", ["東京大学"]),
        ("हिन्दी", ["हिदी", "दी"]),
        ("ภาษาไทย", ["ษาภา", "ไทยภา"]),
        ("동해물과", ["해동", "한"]),
        ("🇦🇩🇪🇸 🇫🇷", ["🇩🇪"]),
        (ENGLAND, [SCOTLAND]),
        (f"{FAMILY}", ["👧\u200d👩\u200d👨", "👦"]),
        ("x" * 90 + "y", ["x" * 90 + "z"]),
        ("が", ["か"]),
    ],
)
def test_what_is_not_there_is_not_found(text: str, sought: list[str]) -> None:
    entry = keep(text)
    assert [word for word in sought if finds(entry, word)] == []


@pytest.mark.parametrize("field", search.FIELDS)
def test_runs_are_found_in_their_field(field: str) -> None:
    entry = keep("東京都の天気", field)
    assert finds(entry, "東京都", field) and finds(entry, "東京都")
    assert [other for other in search.FIELDS if finds(entry, "東京都", other)] == [field]


def test_a_search_may_be_long() -> None:
    words = " ".join(f"{chr(97 + at % 26)}{at}" for at in range(60))
    assert finds(keep(words), words)
    assert not finds(keep(words), f"{words} another")
    run = "".join(chr(0x4E00 + at) for at in range(190))
    assert finds(keep(run), run)
    assert not finds(keep(run), run[:-1] + "龜")


@pytest.mark.once
@given(st.text(max_size=50))
def test_what_is_folded_stays_as_it_is(text: str) -> None:
    assert fold(fold(text)) == fold(text)


# Texts of many scripts. A text is a list of pieces, and a piece is a word or a run. It consists of units: each is a
# form in which texts are compared, and one way to write it.
SPACED = {
    "latin": {"a": "Á", "b": "b", "l": "ł", "o": "ø", "ss": "ß", "ae": "æ", "fi": "ﬁ", "i": "İ", "n": "ñ"},
    "greek": {"ο": "ό", "δ": "δ", "σ": "Σ", "α": "ἄ"},
    "cyrillic": {"д": "Д", "о": "о", "м": "м"},
    "georgian": {"თ": "თ", "ბ": "ბ"},
    "devanagari": {unit: unit for unit in ("हि", "न्दी", "क", "क्षा", "मैं", "ज़ि")},
    "tamil": {unit: unit for unit in ("த", "மி", "ழ்", "நா", "கொ")},
    "arabic": {"م": "مُ", "ح": "حَ", "د": "دّ", "ي": "ي\u200c"},
    "hebrew": {"ש": "שׁ", "ל": "לָ", "ם": "ם"},
}
UNSPACED = {
    "thai": {unit: unit for unit in ("ไทย", "กา", "ก่", "ษา", "เว้น", "น้ำ".replace("ำ", "\u0e4d\u0e32"))},
    "khmer": {unit: unit for unit in ("ក", "ម្ពុ", "ជា", "ខ្មែ", "រ")},
    "lao": {unit: unit for unit in ("ລາ", "ວ", "ພາ", "ສາ")},
    "burmese": {unit: unit for unit in ("မြ", "န်", "မာ", "စာ")},
    "han": {unit: unit for unit in "東京都大の阪"} | {"ガ": "ｶﾞ", "株": "㊑"},
    "hangul": {unit: unit for unit in "한국어동해물과"},
    "emoji": {"👍": "👍🏽", "👨👩👧": FAMILY, "👩": "👩", "❤": "❤️", "🎉": "🎉"},
}
SCRIPTS = SPACED | UNSPACED
Piece = tuple[str, tuple[str, ...]]
pieces = st.sampled_from(sorted(SCRIPTS)).flatmap(
    lambda script: st.tuples(
        st.just(script), st.lists(st.sampled_from(sorted(SCRIPTS[script])), min_size=1, max_size=6).map(tuple)
    )
)
hidden = st.sampled_from(["", "\u00ad", "\u200b", "\u2060", "\ufeff"])
forms = st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"])
cases = st.sampled_from([str, str.upper, str.lower, str.title])


@st.composite
def written(draw: st.DrawFn, piece: Piece) -> str:
    """Return a way to write a piece."""
    script, units = piece
    some = "".join(SCRIPTS[script][unit] if draw(st.booleans()) else unit for unit in units)
    typed = unicodedata.normalize(draw(forms), draw(cases)(some))
    between = draw(hidden)
    return between.join(typed)


@st.composite
def searches(draw: st.DrawFn) -> tuple[str, str, bool]:
    """Draw a text, a search, and whether the text has what is searched for."""
    there = draw(st.lists(pieces, min_size=1, max_size=5))
    text = draw(st.sampled_from([" ", ", ", "。", "\n\n"])).join(draw(written(piece)) for piece in there)
    script, units = draw(st.sampled_from(there) | pieces)
    first = draw(st.integers(0, len(units) - 1)) if draw(st.booleans()) else 0
    sought = script, units[first : draw(st.integers(first + 1, len(units)))]
    wanted = "".join(sought[1])
    same = ["".join(its) for other, its in there if other == script]
    found = any(wanted in its if script in UNSPACED else its.startswith(wanted) for its in same)
    return text, draw(written(sought)), found


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(searches())
def test_a_word_is_found_if_and_only_if_it_is_there(made: tuple[str, str, bool]) -> None:
    text, sought, found = made
    entry = keep(text)
    assert finds(entry, sought) == found
    assert not finds(entry, f"{sought} nowhere")
