"""Other people's sites: with any accounts, time zones, databases, languages and URLs, the same things work.

`any_site` has the scenarios. Each site runs all of them in one process, and each of them is a test here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tmtp.tests import any_site
from tmtp.tests.sites import Site, database, full_site

PEOPLE = {"people/__init__.py": "", "people/admin.py": ""}
ACCOUNTS_BY_EMAIL = """
import uuid
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models

class Members(BaseUserManager):
    def create_user(self, email, password=None, **more):
        member = self.model(email=email, **more)
        member.set_password(password)
        member.save(using=self._db)
        return member

    def create_superuser(self, email, password=None, **more):
        return self.create_user(email, password, is_staff=True, is_superuser=True, **more)

class Member(AbstractBaseUser, PermissionsMixin):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(unique=True)
    is_staff = models.BooleanField(default=False)
    objects = Members()
    USERNAME_FIELD = "email"
"""
BARE_ACCOUNTS = """
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models

class Members(BaseUserManager):
    def create_user(self, handle, password=None, **more):
        member = self.model(number=f"No. {handle}/7", handle=handle, **more)
        member.set_password(password)
        member.save(using=self._db)
        return member

    def create_superuser(self, handle, password=None, **more):
        return self.create_user(handle, password, boss=True, **more)

class Member(AbstractBaseUser):
    number = models.CharField(max_length=40, primary_key=True)
    handle = models.CharField(max_length=40, unique=True)
    boss = models.BooleanField(default=False)
    last_login = None
    objects = Members()
    USERNAME_FIELD = "handle"

    @property
    def is_staff(self):
        return self.boss

    def has_perm(self, *args):
        return self.boss

    def has_module_perms(self, *args):
        return self.boss
"""
OWN_ACCOUNTS = 'INSTALLED_APPS = ["people", *INSTALLED_APPS]\nAUTH_USER_MODEL = "people.Member"\n'
REPLICA = """
DATABASES["replica"] = {other!r}
DATABASE_ROUTERS = ["replica.Router"]
"""
ROUTER = """
class Router:
    "Reads come from a replica, which is so far behind that it has the accounts and nothing else."

    def db_for_read(self, model, **hints):
        return "default" if model._meta.app_label in ("sessions", "django_q") else "replica"

    def db_for_write(self, model, **hints):
        return "default"
"""
SITES: dict[str, dict[str, Any]] = {
    "accounts by e-mail, with UUIDs": {
        "settings": OWN_ACCOUNTS + 'LANGUAGE_CODE = "ar"\nTIME_ZONE = "Europe/Berlin"\nCRAWL_PAIRS = True\n',
        "files": {**PEOPLE, "people/models.py": ACCOUNTS_BY_EMAIL},
    },
    "bare accounts": {
        "settings": OWN_ACCOUNTS + 'USE_TZ = False\nTIME_ZONE = "Pacific/Auckland"\n',
        "files": {**PEOPLE, "people/models.py": BARE_ACCOUNTS},
    },
    "a replica to read from, times without a zone, German, with separators, under a path": {
        "settings": REPLICA + 'USE_TZ = False\nTIME_ZONE = "America/Los_Angeles"\n'
        'LANGUAGE_CODE = "de"\nUSE_THOUSAND_SEPARATOR = True\nFORCE_SCRIPT_NAME = "/club"\n'
        'TMTP_DELIVERY["SITE_URL"] = "https://shop.example/club"\n'
        'MIDDLEWARE += ["django.middleware.locale.LocaleMiddleware"]\n',
        "files": {"replica.py": ROUTER},
    },
}
# On PostgreSQL, `test_pooled_database` has these in one site, behind PgBouncer.
BEHIND_PGBOUNCER = (
    "bare accounts",
    "a replica to read from, times without a zone, German, with separators, under a path",
)
PARAMETERS = [pytest.param(name, marks=[pytest.mark.once] * (name in BEHIND_PGBOUNCER)) for name in SITES]
SCENARIOS = [scenario.__name__ for scenario in any_site.SCENARIOS]


def make_site(folder: Path, *names: str, settings: str = "") -> tuple[Site, dict[str, str]]:
    """Return a site that is all of these, and the tracebacks of its scenarios, which are empty for those that passed.

    `settings` follows those of the sites.
    """
    settings = "".join(SITES[name]["settings"] for name in names) + settings
    settings = settings.replace("{other!r}", repr(database(folder)))
    files = {path: text for name in names for path, text in SITES[name].get("files", {}).items()}
    site = full_site(folder, settings=settings, files=files)
    commands = [["makemigrations", "-v0", "people"]] * ("people/models.py" in files)
    out = folder / "found.json"
    site.python("-c", "from tmtp.tests.any_site import main; main()", out, *map(json.dumps, commands))
    results: dict[str, str] = json.loads(out.read_text())
    return site, results


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the tracebacks of a site's scenarios."""
    _, found = make_site(tmp_path_factory.mktemp("site"), request.param)
    return found


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("found", PARAMETERS, indirect=True)
def test_what_works_on_any_site(found: dict[str, str], scenario: str) -> None:
    assert found[scenario] == "", found[scenario]
