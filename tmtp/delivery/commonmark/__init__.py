"""E-mail as CommonMark.

`text_of` and `files_of` return what a mail says (`mails`). HTML becomes a list of blocks (`html`), which is written as
CommonMark (`blocks`, `inline`). Plain text takes the same way (`plain`). The result renders alike with CommonMark and
with markdown-it's default preset, whether single newlines are kept or not, and whether bare addresses are recognised
or not.
"""

from .html import from_html
from .mails import files_of, header, text_of
from .plain import from_plain

__all__ = ["files_of", "from_html", "from_plain", "header", "text_of"]
