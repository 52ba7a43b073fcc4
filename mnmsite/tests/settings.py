"""The site's settings in its tests and their servers: what Django deprecates is an error."""

from mnmsite.settings import *  # noqa: F403
from tmtp.tests.deprecations import refuse_deprecated

refuse_deprecated()

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast, and safe enough for tests only
