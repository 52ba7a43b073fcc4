"""The site's settings in its tests: what Django deprecates is an error."""

from mnmsite.settings import *  # noqa: F403
from tmtp.tests.deprecations import refuse_deprecated

refuse_deprecated()
