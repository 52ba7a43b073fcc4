"""A shop that has its own apps `accounts` and `delivery` installs all apps of the wheel, in processes of its own.

The shop sees what the wheel contains, `tmtp`, and none of the other packages in this repository.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tmtp.tests.sites import Site, full_site

pytestmark = pytest.mark.once

SETTINGS = """
INSTALLED_APPS += ["accounts", "delivery"]
DELIVERY = {"days": 3}
TMTP_DELIVERY["NOTICE_AFTER"] = 3600
"""
FILES = {
    "urls.py": """
from django.contrib import admin
from django.urls import include, path
urlpatterns = [
    path("admin/", admin.site.urls),
    path("delivery/", include("delivery.urls")),
    path("messages/", include("tmtp.delivery.urls")),
    path("mailbox/", include("tmtp.mailbox.urls")),
    path("", include("tmtp.pages.urls")),
]
""",
    "accounts/__init__.py": "",
    "accounts/models.py": """
from django.conf import settings
from django.db import models
class Address(models.Model):
    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="addresses")
    street = models.TextField()
""",
    "delivery/__init__.py": "",
    "delivery/models.py": """
from django.db import models
class Broadcast(models.Model):
    name = models.TextField()
class Notice(models.Model):
    parcel = models.TextField()
""",
    "delivery/admin.py": """
from django.contrib import admin
from .models import Broadcast, Notice
admin.site.register([Broadcast, Notice])
""",
    "delivery/urls.py": """
from django.shortcuts import render
from django.urls import path
app_name = "delivery"
urlpatterns = [path("no-notices/", lambda request: render(request, "delivery/no_notices.html"), name="no_notices")]
""",
    "delivery/templatetags/__init__.py": "",
    "delivery/templatetags/delivery.py": """
from django import template
register = template.Library()
@register.simple_tag
def days():
    from django.conf import settings
    return settings.DELIVERY["days"]
""",
    "delivery/templates/delivery/no_notices.html": "{% load delivery %}Parcels take {% days %} days.",
}
USE = """
import json

import django

django.setup()
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core import signing
from django.test import Client
from django.urls import reverse

from tmtp.delivery.notices import SALT
from tmtp.messaging import send_message
from tmtp.models import QueueEntry
from tmtp.testing import add_device

Account = get_user_model()
staff = Account.objects.create_superuser("staff", "", "staff")
ann = Account.objects.create_user("ann")
add_device(ann)
msgids = send_message(ann, "Your order has shipped", "It arrives on **Monday**.")
browser = Client()
browser.force_login(staff)
pages = [reverse(f"admin:{m._meta.app_label}_{m._meta.model_name}_changelist") for m in admin.site._registry]
pages += [reverse(f"admin:{name}") for name in ("index", "tmtp_delivery_broadcast_add", "delivery_broadcast_add")]
pages.append(reverse("tmtp_delivery:no_notices", args=[signing.dumps(ann.pk, salt=SALT)]))
print(json.dumps({
    "messages": len(msgids),
    "waiting": QueueEntry.objects.filter(node__user__account=ann, message__op="delivery").count(),
    "pages": {page: browser.get(page).status_code for page in pages},
    "own page": browser.get("/delivery/no-notices/").content.decode(),
    "tables": [model._meta.db_table for label in ("accounts", "delivery", "tmtp_delivery")
               for model in apps.get_app_config(label).get_models()],
}))
"""
RUN_EACH_TASK = """
from django_q.models import Failure, Schedule, Success
from django_q.tasks import async_task
from tmtp.delivery import workers

for schedule in Schedule.objects.all():
    async_task(schedule.func, sync=True)
ended = set(Success.objects.values_list("func", flat=True))
assert not Failure.objects.exists(), Failure.objects.first().result
assert ended == set(Schedule.objects.values_list("func", flat=True)), ended
assert not workers.are_missing()
"""


@pytest.fixture
def shop(tmp_path: Path) -> Site:
    """The shop's folder, and commands that run in it."""
    return full_site(tmp_path, settings=SETTINGS, files=FILES)


def test_all_apps_stand_beside_apps_of_the_same_names(shop: Site) -> None:
    made = ["makemigrations", "-v0", "accounts", "delivery"]
    said = shop.manage_all(made, ["migrate", "-v0"], ["check"], ["makemigrations", "--check", "--dry-run"])
    assert "No changes detected" in said
    found = json.loads(shop.python("-c", USE + RUN_EACH_TASK).splitlines()[0])
    assert (found["messages"], found["waiting"]) == (1, 1)
    assert set(found["pages"].values()) == {200}, found["pages"]
    assert found["own page"] == "Parcels take 3 days."
    assert {"accounts_address", "delivery_broadcast", "tmtp_delivery_broadcast"} <= set(found["tables"])
    assert len(set(found["tables"])) == len(found["tables"])


BLOCKED = """
import sys
from django.core.management import execute_from_command_line

sys.modules["django_q"] = None  # as if it were not installed: `import django_q` raises ModuleNotFoundError
execute_from_command_line(["manage.py", *sys.argv[1:]])
"""


@pytest.mark.parametrize("command", ["check", "migrate", "makemigrations"])
def test_without_django_q2_a_check_says_what_to_install(shop: Site, command: str) -> None:
    settings = shop.folder / "settings.py"
    settings.write_text(settings.read_text().replace('"django_q", ', ""))
    done = shop.run("-c", BLOCKED, command)
    assert done.returncode == 1
    assert "tmtp_delivery.E005" in done.stderr
    assert 'pip install "mnm-django[delivery]"' in done.stderr
    assert "Traceback" not in done.stderr
