"""Which attached files can be looked at in the browser, by their names and sizes."""

from __future__ import annotations

from ..services.messages.post_format import Attached
from .pictures import may_be_picture

TEXT_SHOWN = 256 * 1024  # octets of a text that are shown
TEXTS = (
    *(".txt", ".md", ".markdown", ".csv", ".tsv", ".log", ".json", ".xml", ".yaml", ".yml", ".toml", ".ini", ".pgn"),
    *(
        ".py",
        ".js",
        ".ts",
        ".css",
        ".html",
        ".htm",
        ".c",
        ".h",
        ".go",
        ".rs",
        ".java",
        ".sh",
        ".sql",
        ".diff",
        ".patch",
    ),
)


def kind_of(attached: Attached) -> str:
    """Return "picture", "pdf" or "text", or an empty string for a file that can only be saved."""
    name = attached.name.lower()
    if may_be_picture(name, attached.size):
        return "picture"
    if name.endswith(".pdf"):
        return "pdf"
    return "text" if name.endswith(TEXTS) else ""
