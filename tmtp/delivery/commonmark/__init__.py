"""E-mail as CommonMark.

HTML becomes a list of blocks (`html`), which is written as CommonMark (`blocks`, `inline`); plain text takes the same
way (`plain`). The result renders alike with CommonMark and with markdown-it's default preset, whether single newlines
are kept or not, and whether bare addresses are recognised or not.
"""

from .html import Converted, from_html
from .plain import from_plain

__all__ = ["Converted", "from_html", "from_plain"]
