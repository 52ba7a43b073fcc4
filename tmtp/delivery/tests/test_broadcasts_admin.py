"""Broadcasts in the admin: write, preview, send or schedule, follow and stop them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group as AccountGroup
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from tmtp.delivery import workers
from tmtp.delivery.broadcasts import files, lifecycle, pace, sending
from tmtp.delivery.models import Broadcast, Template
from tmtp.models import SentMessage

pytestmark = [pytest.mark.django_db, pytest.mark.once]
Account = get_user_model()
State = Broadcast.State


def url(name, *args):
    return reverse(f"admin:tmtp_delivery_broadcast_{name}", args=args)


def text(response):
    return response.content.decode()


def draft(**fields):
    fields = {"subject": "We move", "body": "Come *early* <b>", "everyone": True, **fields}
    return Broadcast.objects.create(**fields)


def running(**fields):
    one = draft(**fields)
    lifecycle.start(one)
    return one


def state(one):
    one.refresh_from_db()
    return one.state


def write(client, where, **fields):
    """Submit the form for a new broadcast."""
    return client.post(where, {"subject": "We move", "body": "On *Sunday*.", "_save": "1", **fields}, follow=True)


@pytest.fixture
def members():
    return [Account.objects.create(username=f"member {number}") for number in range(3)]


def test_from_the_form_to_the_queue(admin_client, members):
    page = write(admin_client, url("add"), everyone="on")
    (one,) = Broadcast.objects.all()
    assert one.by == Account.objects.get(username="admin")
    assert page.redirect_chain == [(url("review", one.pk), 302)]
    assert "On <em>Sunday</em>." in text(page)
    assert "Send now to 4 members" in text(page)
    page = admin_client.post(url("review", one.pk), {"now": "", "confirmed": "yes"}, follow=True)
    assert "It is being sent." in text(page)
    assert state(one) == State.RUNNING
    sending.send(one.pk, lambda: True)
    page = text(admin_client.get(url("change", one.pk)))
    assert "Queued for 4 of 4" in page
    assert '<progress id="bar" value="4" max="4">' in page


def test_it_says_for_whom(admin_client):
    assert "Choose an audience" in text(write(admin_client, url("add")))
    assert "not both" in text(write(admin_client, url("add"), everyone="on", staff_only="on"))
    choir = AccountGroup.objects.create(name="the choir")
    page = write(admin_client, url("add"), account_groups=[choir.pk], joined_since="2026-01-31")
    assert "in the choir, signed up since Jan. 31, 2026" in text(page)
    assert "Send now to 0 members" in text(page)
    assert "disabled" in text(page)


def test_a_first_line_of_code_stays_code(admin_client):
    write(admin_client, url("add"), body="    code\r\n    more\r\n", everyone="on")
    assert Broadcast.objects.get().body == "    code\n    more"


def test_a_draft_can_be_kept_and_changed(admin_client):
    one = draft()
    page = write(admin_client, url("change", one.pk), everyone="on", rate="0")
    assert "greater than or equal to 1" in text(page)
    write(admin_client, url("change", one.pk), everyone="on", rate="60", subject="Later", _continue="1")
    assert (state(one), one.subject, one.rate) == (State.DRAFT, "Later", 60)


def test_schedule_and_think_again(admin_client, members):
    one = draft()
    for at, said in (("", "Enter a date and time."), ("2020-01-01T12:00", "is in the past"), ("soon", "valid date")):
        assert said in text(admin_client.post(url("review", one.pk), {"later": "", "send_at": at, "confirmed": "yes"}))
        assert state(one) == State.DRAFT
    at = (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    page = admin_client.post(url("review", one.pk), {"later": "", "send_at": at, "confirmed": "yes"}, follow=True)
    assert "It is scheduled." in text(page)
    assert (state(one), one.send_at.strftime("%Y-%m-%dT%H:%M")) == (State.SCHEDULED, at)
    assert admin_client.get(url("review", one.pk)).url == url("change", one.pk)
    admin_client.post(url("do", one.pk, "unschedule"))
    assert state(one) == State.DRAFT


def test_buttons(admin_client, members):
    one = running()
    assert {button.name for button in admin_client.get(url("change", one.pk)).context["buttons"]} == {
        "pause", "cancel", "take_back"
    }  # fmt: skip
    admin_client.post(url("do", one.pk, "pause"))
    assert state(one) == State.PAUSED
    admin_client.post(url("do", one.pk, "resume"))
    assert state(one) == State.RUNNING
    assert "Stop sending?" in text(admin_client.post(url("do", one.pk, "cancel")))
    assert state(one) == State.RUNNING
    admin_client.post(url("do", one.pk, "cancel"), {"confirmed": "yes"})
    assert state(one) == State.CANCELLED
    page = admin_client.post(url("do", one.pk, "pause"), follow=True)
    assert "Not possible: the state of “We move” is “cancelled”." in text(page)
    admin_client.post(url("do", one.pk, "take_back"), {"confirmed": "yes"})
    assert "recalled" in text(admin_client.get(url("change", one.pk)))
    assert admin_client.get(url("do", one.pk, "explode")).status_code == 404


def test_only_the_part_is_fetched_until_something_else_happens(admin_client, members):
    one = running()
    page = text(admin_client.get(url("change", one.pk)))
    part = f"{url('progress', one.pk)}?state={State.RUNNING.value}"
    assert f'hx-get="{part}"' in page
    response = admin_client.get(part)
    assert "HX-Refresh" not in response
    assert "<html" not in text(response)
    lifecycle.pause(one, "the name is taken")
    response = admin_client.get(part)
    assert response["HX-Refresh"] == "true"
    assert "the name is taken" in text(response)


def test_a_missing_worker_is_told(admin_client, members):
    one = running()
    assert "waiting for a worker" in text(admin_client.get(url("change", one.pk)))
    workers.record_heartbeat()
    assert "waiting for a worker" not in text(admin_client.get(url("change", one.pk)))


def test_what_is_on_its_way_is_not_deleted(admin_client, members):
    one = running()
    assert admin_client.post(url("delete", one.pk), {"post": "yes"}).status_code == 403
    sending.send(one.pk, lambda: True)
    admin_client.post(url("delete", one.pk), {"post": "yes"})
    assert not Broadcast.objects.exists()


def test_the_list(admin_client, members):
    running(), draft(), running(problem="x")
    sending.send(Broadcast.objects.first().pk, lambda: True)
    page = text(admin_client.get(url("changelist")))
    assert "4 of 4" in page
    assert "running: a problem" in page


def test_who_may_only_look(client, members):
    looker = Account.objects.create(username="looker", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_broadcast"))
    client.force_login(looker)
    one, other = draft(), running()
    assert not client.get(url("change", other.pk)).context["buttons"]
    assert client.get(url("change", one.pk)).status_code == 200
    assert client.get(url("progress", other.pk)).status_code == 200
    assert client.get(url("review", one.pk)).status_code == 403
    assert client.post(url("do", other.pk, "pause")).status_code == 403
    assert state(other) == State.RUNNING


def test_others_see_nothing(client, members):
    client.force_login(Account.objects.create(username="staff", is_staff=True))
    one = running()
    for where in (url("change", one.pk), url("progress", one.pk), url("review", one.pk)):
        assert client.get(where).status_code == 403


def test_it_asks_before_it_goes_to_everybody(admin_client, members):
    one = draft()
    page = text(admin_client.post(url("review", one.pk), {"now": ""}))
    assert "Send “We move” to 4 members now?" in page
    assert 'name="confirmed"' in page
    assert state(one) == State.DRAFT
    few = draft(everyone=False, staff_only=True)
    admin_client.post(url("review", few.pk), {"now": ""})
    assert state(few) == State.RUNNING


def test_a_test_and_the_view_of_a_member(admin_client, members):
    one = draft(body="Hello {{ username }}")
    page = text(admin_client.get(url("review", one.pk)))
    assert "Hello admin" in page
    assert "Hello member 1" in text(admin_client.get(url("review", one.pk), {"as": "member 1"}))
    assert "nobody here" in text(admin_client.get(url("review", one.pk), {"as": "nobody here"}))
    assert "A test was sent to you." in text(admin_client.post(url("review", one.pk), {"test": ""}, follow=True))
    assert list(SentMessage.objects.values_list("subject", flat=True)) == ["Test: We move"]
    assert state(one) == State.DRAFT


def test_files_and_templates(admin_client):
    Template.objects.create(name="News", subject="The news", body="Hello")
    page = text(admin_client.get(url("add")))
    assert "?template=" in page
    assert 'value="The news"' in text(admin_client.get(url("add"), {"template": Template.objects.get().pk}))
    write(admin_client, url("add"), everyone="on", attach=SimpleUploadedFile("plan.txt", b"Sunday"))
    one = Broadcast.objects.get()
    assert [file.name for file in one.files.all()] == ["plan.txt"]
    assert "plan.txt" in text(admin_client.get(url("review", one.pk)))
    big = SimpleUploadedFile("big", b"x" * (files.MOST + 1))
    kept = one.files.get().pk
    assert "octets" in text(write(admin_client, url("change", one.pk), everyone="on", files=kept, attach=big))
    write(admin_client, url("change", one.pk), everyone="on")
    assert not one.files.exists()
    assert "There is no field “nam”" in text(
        write(admin_client, url("change", one.pk), body="{{ nam }}", everyone="on")
    )


def test_rate_and_end_are_shown(admin_client, members):
    one = running()
    now = timezone.now()
    minute = int(now.timestamp() // 60)
    Broadcast.objects.update(
        total=1000, sent=300, chosen=now - timedelta(minutes=3), minutes=[[minute - 3, 0], [minute - 2, 300]]
    )
    one.refresh_from_db()
    assert 80 <= pace.per_minute(one) <= 160
    assert pace.end(one) > now
    page = text(admin_client.get(url("change", one.pk)))
    assert "recipients a minute" in page
    assert "Probable end" in page
    assert page.count("<rect") == 2
