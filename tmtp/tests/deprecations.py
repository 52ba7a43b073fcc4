"""Django's deprecation warnings are errors, in the programs that tests start too."""

from __future__ import annotations

import warnings

from django.utils.deprecation import RemovedAfterNextVersionWarning, RemovedInNextVersionWarning


def refuse_deprecated() -> None:
    """Turn the warnings into errors. The tests' settings call this, since PYTHONWARNINGS cannot name these classes."""
    for category in (RemovedInNextVersionWarning, RemovedAfterNextVersionWarning):
        warnings.simplefilter("error", category)
