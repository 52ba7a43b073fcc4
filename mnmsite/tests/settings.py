"""The site's settings in its tests and their servers: what Django deprecates is an error."""

import os

from mnmsite.settings import *  # noqa: F403
from tmtp.tests.deprecations import refuse_deprecated

refuse_deprecated()

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast, and safe enough for tests only

if LOCALE := os.environ.get("MNM_TESTS_LOCALE"):  # a language for tests: mnmsite.tests.pseudo
    LANGUAGES = [*LANGUAGES, ("io", "⟦English⟧")]  # noqa: F405
    LOCALE_PATHS = [LOCALE, *LOCALE_PATHS]  # noqa: F405
