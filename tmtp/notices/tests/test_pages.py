"""The preferences, what scripts ask for, the manifest and the service worker, the command and the checks."""

from __future__ import annotations

import io
import json
import re
import stat
from datetime import time, timedelta

import pytest
from django.contrib.staticfiles import finders
from django.core.management import CommandError, call_command
from django.test import Client

from tmtp.mailbox import index, positions
from tmtp.mailbox.tests.mailboxes import group, kept_back, member, sender_of, threads
from tmtp.notices import checks, vapid
from tmtp.notices.models import Override, Preferences
from tmtp.notices.tests.letters import write

pytestmark = pytest.mark.django_db
PAGE = "/notifications/"
FORM = {"desktop": ["pings"], "push": [], "show_sender": "0", "digest": "weekly", "time_zone": "Europe/Berlin"}


# preferences


def test_a_member_saves_preferences(client, ann):
    Preferences.objects.create(account=ann.account)
    answer = client.post(PAGE, {**FORM, "quiet_from": "22:00", "quiet_until": "07:00"}, follow=True)
    assert "Your changes have been saved." in answer.text
    saved = Preferences.objects.get()
    assert (saved.desktop, saved.push, saved.show_sender, saved.digest) == (["pings"], [], False, "weekly")
    assert (saved.quiet_from, saved.quiet_until, saved.time_zone) == (time(22), time(7), "Europe/Berlin")
    assert saved.digest_of, "digests begin now"
    begun = saved.digest_of
    client.post(PAGE, {**FORM, "digest": "daily"})
    assert Preferences.objects.get().digest_of == begun
    assert 'value="22:00"' not in client.get(PAGE).text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"quiet_from": "22:00"}, "Enter both times, or neither."),
        ({"quiet_from": "25:00", "quiet_until": "07:00"}, "Enter a valid time."),
        ({"time_zone": "Mars/Olympus"}, "Select a valid choice."),
        ({"digest": "hourly"}, "Select a valid choice."),
        ({"push": ["letters"]}, "Select a valid choice."),
        ({"show_sender": "2"}, "Select a valid choice."),
    ],
)
def test_what_cannot_be_saved(client, change, text):
    assert text in client.post(PAGE, {**FORM, **change}).text
    assert not Preferences.objects.exclude(digest="never").exists()


def test_what_the_site_does_not_offer(client, settings):
    settings.TMTP_NOTICES = {"SHOW_SENDER": False}
    settings.TMTP_DELIVERY = {**settings.TMTP_DELIVERY, "SITE_URL": ""}
    page = client.get(PAGE).text
    assert not re.search('name="(push|digest|show_sender)"', page)
    client.post(PAGE, FORM)
    saved = Preferences.objects.get()
    assert (saved.push, saved.digest, saved.desktop) == (["messages", "groups", "pings"], "never", ["pings"])


def test_exceptions_for_groups(client, ann, bob):
    gid = group(sender_of(ann), bob)
    client.post(PAGE + "groups/", {"group": gid, "choice": "never"})
    client.post(PAGE + "groups/", {"group": gid, "choice": "always"})
    (row,) = Override.objects.all()
    assert (row.what, row.key, row.choice) == ("group", gid, "always")
    assert f"Remove the exception for {gid}" in client.get(PAGE).text
    client.post(PAGE + "groups/", {"group": group(bob), "choice": "never"})
    assert Override.objects.count() == 1, "only for groups that one is in"
    assert client.post(f"{PAGE}exceptions/{row.pk}/remove/").status_code == 302
    assert not Override.objects.exists()


def test_exceptions_for_threads(client, ann, bob):
    write(bob, ann)
    (thread,) = threads(ann)
    path = f"{PAGE}thread/{thread.pk}/"
    assert path in client.get(f"/mailbox/thread/{thread.pk}/").text
    assert client.post(path, {"choice": "never"}).url == f"/mailbox/thread/{thread.pk}/"
    assert Override.objects.get().key == thread.key
    assert "Lunch?" in client.get(PAGE).text
    assert re.search('value="never"[^>]*checked', client.get(path).text)
    client.post(path, {"choice": "default"})
    assert not Override.objects.exists()


@pytest.mark.once
def test_nobody_touches_what_is_anothers(client, ann, bob):
    write(bob, ann)
    account, _ = member("eve the third")
    row = Override.objects.create(account=ann.account, what="group", key="chess club", choice="never")
    eve = Client()
    eve.force_login(account)
    assert eve.post(f"{PAGE}exceptions/{row.pk}/remove/").status_code == 404
    assert eve.get(f"{PAGE}thread/{threads(ann)[0].pk}/").status_code == 404
    for path in (PAGE, f"{PAGE}new/"):
        assert Client().get(path).status_code == 302


# notices of open pages


def new(client, after=""):
    return client.get(f"{PAGE}new/?after={after}").json()


@pytest.mark.once
def test_a_page_gets_what_is_new_since_it_asked(client, ann, bob):
    write(bob, ann, "Old")
    known = new(client)
    assert known["notices"] == []
    first = write(bob, ann)
    write(bob, ann, "Supper?", thread=first)
    answer = new(client, known["newest"])
    assert [(one["title"], one["body"]) for one in answer["notices"]] == [("bob the second", "Supper?")]
    assert new(client, answer["newest"]) == {"newest": answer["newest"], "notices": [], "wait": False}


def test_a_message_that_is_committed_late_is_new(client, ann, bob):
    known = new(client)["newest"]
    with kept_back(ann, write(bob, ann, "First")):
        write(bob, ann, "Second")
        answer = new(client, known)
        assert [one["body"] for one in answer["notices"]] == ["Second"]
    answer = new(client, answer["newest"])
    assert [one["body"] for one in answer["notices"]] == ["First"]
    assert new(client, answer["newest"])["notices"] == []


@pytest.mark.once
def test_old_messages_that_are_indexed_late_are_not_new(client, ann, bob, monkeypatch):
    for number in range(3):
        write(bob, ann, f"No. {number}")
    monkeypatch.setattr(index, "AT_ONCE", 1)
    monkeypatch.setattr(index, "PATIENCE", -1)
    monkeypatch.setattr(positions, "LATE", 0)
    known = new(client)["newest"]
    for _ in range(3):
        assert new(client, known)["notices"] == []


def test_of_many_the_newest_are_shown(client, ann, bob):
    for number in range(7):
        write(bob, ann, f"No. {number}")
    assert [one["body"] for one in new(client, "1-0")["notices"]] == ["No. 3", "No. 4", "No. 5", "No. 6"]


@pytest.mark.parametrize("after", ["-1", "x", "1", "1-", "-", "1-2-3", "9" * 30, f"1-{2**63}", "١٢-1", "1.5-1"])
def test_a_position_that_is_none(client, ann, bob, after):
    write(bob, ann)
    assert new(client, after)["notices"] == []


def test_a_page_in_front_of_the_member_and_preferences(client, ann, bob):
    write(bob, ann)
    client.post(f"{PAGE}looking/", {"visible": "1"})
    answer = new(client, "1-0")
    assert (answer["notices"], answer["wait"]) == ([], True)
    client.post(f"{PAGE}looking/")
    known = new(client, answer["newest"])
    assert len(known["notices"]) == 1, "it waited for the member to leave"
    with kept_back(ann, write(bob, ann)):
        write(bob, ann)
        client.post(f"{PAGE}looking/", {"visible": "1"})
        answer = new(client, known["newest"])
    client.post(f"{PAGE}looking/")
    assert len(new(client, answer["newest"])["notices"]) == 2, "they waited, and one came late"
    Preferences.objects.create(account=ann.account, desktop=["groups"])
    assert new(client, "1-0") == {"newest": new(client)["newest"], "notices": [], "wait": False}
    Preferences.objects.update(desktop=["messages"])
    client.post(f"{PAGE}looking/", {"visible": "1"})
    assert new(client, "1-0")["notices"] == []


@pytest.mark.once
def test_what_has_been_in_front_of_the_member_for_long_is_not_told(client, ann, bob, monkeypatch):
    write(bob, ann)
    client.post(f"{PAGE}looking/", {"visible": "1"})
    monkeypatch.setattr("tmtp.notices.views.browsers.LOOKING", timedelta(0))
    answer = new(client, "1-0")
    assert answer["wait"], "there may be others"
    client.post(f"{PAGE}looking/")
    assert new(client, answer["newest"])["notices"] == []


# installing


def test_the_manifest(client, settings):
    settings.TMTP = {**settings.TMTP, "SITE_NAME": "Riverside Chess Club"}
    answer = Client().get(PAGE + "app.webmanifest")
    assert answer["Content-Type"] == "application/manifest+json"
    manifest = answer.json()
    assert (manifest["name"], manifest["short_name"]) == ("Riverside Chess Club", "Riverside")
    assert {icon["purpose"] for icon in manifest["icons"]} == {"any", "maskable"}
    for icon in manifest["icons"]:
        assert finders.find(icon["src"].removeprefix("/static/")), icon


def test_the_service_worker_changes_with_the_offline_page(settings):
    answer = Client().get(PAGE + "worker.js")
    assert answer["Content-Type"].startswith("text/javascript")
    assert (answer["Service-Worker-Allowed"], answer["Cache-Control"]) == ("/", "no-cache")
    own = json.loads(re.search("const own = (.+);", answer.text)[1])
    assert own["files"][0] == PAGE + "offline/"
    assert "Your messages wait for you" in Client().get(PAGE + "offline/").text
    settings.TMTP = {**settings.TMTP, "SITE_NAME": "Another name"}
    assert own["cache"] not in Client().get(PAGE + "worker.js").text


@pytest.mark.once
def test_pages_name_the_manifest_and_visitors_learn_no_more(client):
    assert "app.webmanifest" in client.get("/mailbox/").text
    assert "data-csrf" in client.get("/mailbox/").text
    page = Client().get("/").text
    assert "app.webmanifest" in page
    assert "data-csrf" not in page


# the key


def run(**options):
    out = io.StringIO()
    call_command("tmtpvapid", stdout=out, **options)
    return out.getvalue().strip()


def found():
    return [
        one.id
        for check in (checks.check_options, checks.check_pages, checks.check_push, checks.check_private)
        for one in check()
    ]


@pytest.mark.once
def test_the_command_makes_a_key_once(settings, tmp_path):
    path = tmp_path / "keys" / "vapid.pem"
    settings.TMTP_NOTICES = {"VAPID_KEY": path}
    assert found() == ["tmtp_notices.W005"]
    public = run()
    assert (len(public), public) == (87, vapid.public_key())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (run(), run(verbosity=0), found()) == (public, "", [])


@pytest.mark.once
def test_a_key_that_is_none(settings, tmp_path):
    settings.TMTP_NOTICES = {}
    with pytest.raises(CommandError, match="VAPID_KEY"):
        run()
    for text in ("", "nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        path = tmp_path / "vapid.pem"
        path.write_text(text)
        settings.TMTP_NOTICES = {"VAPID_KEY": str(path)}
        with pytest.raises(CommandError, match="is no private key"):
            run()
        assert found() == ["tmtp_notices.E005"]
        assert vapid.public_key() == ""
    settings.TMTP_NOTICES = {"VAPID_KEY": str(tmp_path)}
    with pytest.raises(CommandError, match="cannot"):
        run()


@pytest.mark.once
def test_settings_are_checked(settings, key_file):
    good = {"VAPID_KEY": str(key_file)}
    for bad in (
        {"PUSH_TTL": 0},
        {"DIGEST_HOUR": 24},
        {"THEME_COLOR": "red"},
        {"CONTACT": "admin@example.org"},
        {"SHOW_SENDER": "no"},
    ):
        settings.TMTP_NOTICES = {**good, **bad}
        assert found() == ["tmtp_notices.E003"], bad
    settings.TMTP_NOTICES = {**good, "VAPID": ""}
    assert found() == ["tmtp_notices.E002"]
    settings.TMTP_NOTICES = {**good, "PRIVATE_ENDPOINTS": True}
    assert found() == ["tmtp_notices.W006"]
    settings.TMTP_NOTICES = [1]
    assert "tmtp_notices.E001" in found()
    settings.TMTP_NOTICES = {"VAPID_KEY": 3}
    assert "tmtp_notices.E003" in found()
