"""Text above and below the line: `19<sup>99</sup>` must not read 1999."""

from __future__ import annotations

_SIGNS = "0123456789+-−=()"
_RAISED = str.maketrans(_SIGNS + "abcdefghijklmnoprstuvwxyz", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ")
_LOWERED = str.maketrans(_SIGNS + "aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
_WHOLE = {"tm": "™", "sm": "℠"}


def raised(text: str) -> str:
    """Return the text of <sup>. Ordinals, as in 1st, and marks of footnotes stay as they are."""
    return _WHOLE.get(text.lower()) or _shifted(text, _RAISED, "^")


def lowered(text: str) -> str:
    """Return the text of <sub>."""
    return _shifted(text, _LOWERED, "_")


def _shifted(text: str, table: dict[int, int], sign: str) -> str:
    letters = text.strip()
    is_number = letters[:1].isalnum() or letters[:1] in tuple("+-−(")
    if not is_number or (len(letters) > 1 and letters.isalpha()):
        return text
    shifted = "".join(chr(table.get(ord(letter), ord(letter))) for letter in text)
    if all(ord(letter) in table or not letter.isalnum() for letter in letters):
        return shifted
    return text.replace(letters, f"{sign}({letters})" if len(letters) > 1 else sign + letters)
