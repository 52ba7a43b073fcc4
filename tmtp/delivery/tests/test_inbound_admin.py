"""Failed answers in the admin, and the warning that no worker runs."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

from tmtp.delivery import tasks
from tmtp.delivery.inbound import handling
from tmtp.delivery.models import Attempt, LastRun, Notice
from tmtp.models import Message
from tmtp.services.storage import spool

from .test_inbound import ann, asked, behave, explode, later, left, quiet, taken, write  # noqa: F401 - fixtures

pytestmark = [pytest.mark.django_db, pytest.mark.once]
LIST = "admin:tmtp_delivery_attempt_changelist"


@pytest.fixture
def admin(client):
    client.force_login(get_user_model().objects.create_superuser("root"))
    return client


@pytest.fixture
def dead(ann):  # noqa: F811
    number = write(ann)
    behave.extend([explode] * 3)
    for _ in range(3):
        tasks.answers()
        later()
    return number


def do(client, action, **more):
    rows = list(Attempt.objects.values_list("pk", flat=True))
    return client.post(reverse(LIST), {"action": action, "_selected_action": rows, **more}, follow=True)


def test_a_dead_letter_is_shown_with_its_error(admin, dead, settings):
    page = admin.get(reverse(LIST)).text
    assert "Order 17" in page
    assert "RuntimeError: the shop is closed" in page
    assert "given up" in page
    assert "Messages in the mailbox of the site: 1." in page
    detail = admin.get(reverse("admin:tmtp_delivery_attempt_change", args=[dead])).text
    assert "in explode" in detail
    assert "Where is it?" not in page + detail
    assert admin.get(reverse(LIST), {"state": "tried"}).text.count("Order 17") == 0


def test_without_a_handler_it_says_that_messages_wait(admin, ann, settings):  # noqa: F811
    settings.TMTP_DELIVERY = {}
    write(ann)
    assert "site: 1. They wait, since TMTP_DELIVERY[“HANDLER”] is not set." in admin.get(reverse(LIST)).text


def test_try_again(admin, dead, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        assert "1 message will be retried." in do(admin, "try_again").text
    assert asked == [handling.TASK]
    tasks.answers()
    assert left() == []


def test_discard_asks_first(admin, dead):
    assert "They will not be handled." in do(admin, "discard").text
    assert left() == [dead]
    assert "1 message was discarded." in do(admin, "discard", confirmed="yes").text
    assert left() == []


def test_who_may_only_look_may_not_act(client, dead):
    from django.contrib.auth.models import Permission

    looker = get_user_model().objects.create(username="looker", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_attempt"))
    client.force_login(looker)
    assert "Order 17" in client.get(reverse(LIST)).text
    do(client, "discard", confirmed="yes")
    assert left() == [dead]


def test_one_whose_file_is_gone_is_shown(admin, ann):  # noqa: F811
    number = write(ann, head={"subject": "x" * 70_000})
    spool.discard([Message.objects.get(pk=number).spool])
    tasks.answers()
    assert "its file is missing" in admin.get(reverse(LIST)).text


def test_no_worker_is_said_on_top_until_one_runs(admin, client):
    index = reverse("admin:index")
    assert "No worker has ever run" in admin.get(index).text
    tasks.heartbeat()
    assert "No worker" not in admin.get(index).text
    LastRun.objects.update(at="2020-01-01T00:00:00Z")
    page = admin.get(reverse("admin:tmtp_node_changelist")).text
    assert "No worker has run for" in page
    client.logout()
    assert "No worker" not in client.get(reverse("admin:login")).text


@pytest.mark.parametrize("site_has_the_line", [True, False])
@pytest.mark.parametrize("model", ["attempt", "broadcast", "notice"])
def test_no_worker_is_said_once_on_our_own_pages_whatever_the_site_has(admin, settings, model, site_has_the_line):
    if not site_has_the_line:
        settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": []}]
    assert admin.get(reverse(f"admin:tmtp_delivery_{model}_changelist")).text.count("No worker has ever run") == 1
    assert admin.get(reverse("admin:index")).text.count("No worker has ever run") == site_has_the_line


def test_notices(admin):
    account = get_user_model().objects.create(username="ann")
    Notice.objects.create(account=account)
    assert "ann" in admin.get(reverse("admin:tmtp_delivery_notice_changelist"), {"q": "ann"}).text
    assert admin.get(reverse("admin:tmtp_delivery_notice_change", args=[account.pk])).status_code == 200
