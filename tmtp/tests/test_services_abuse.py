"""Reports of abuse: who may report what, how often, and how admins handle reports."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from tmtp.models import AbuseReport, Group, Message, User
from tmtp.services.errors import Refused
from tmtp.services.people import abuse
from tmtp.services.people.site import site_user

from .people import someone

pytestmark = pytest.mark.django_db
Reason, State = AbuseReport.Reason, AbuseReport.State


@pytest.fixture
def ann() -> User:
    return User.objects.get(pk=someone("ann of rome").user)


@pytest.fixture
def bob() -> User:
    return User.objects.get(pk=someone("bob of rome").user)


def test_a_report_goes_to_the_admins_only(ann: User, bob: User) -> None:
    before = Message.objects.count()
    reported = abuse.report(ann, Reason.SPAM, "Ads", user=bob, name="bob of rome", message=255, text="Buy!")
    reported.refresh_from_db()
    assert (reported.reporter, reported.user, reported.msgid, reported.state) == (ann, bob, f"{255:016x}", State.OPEN)
    assert (reported.comment, reported.text, reported.handled_by) == ("Ads", "Buy!", None)
    assert Message.objects.count() == before


def test_what_cannot_be_reported(ann: User) -> None:
    for user, code in ((ann, "cannot_report_oneself"), (site_user(), "cannot_report_site")):
        with pytest.raises(Refused) as refused:
            abuse.report(ann, Reason.SPAM, user=user, name="x")
        assert refused.value.code == code
    assert not AbuseReport.objects.exists()


def test_another_report_about_the_same_replaces_the_open_one(ann: User, bob: User) -> None:
    first = abuse.report(ann, Reason.SPAM, "one", user=bob, name="bob")
    again = abuse.report(ann, Reason.ILLEGAL, "two", user=bob, name="bob")
    assert (again.pk, AbuseReport.objects.get().comment) == (first.pk, "two")
    abuse.report(ann, Reason.SPAM, user=bob, message=1, name="bob")
    abuse.report(bob, Reason.SPAM, group=Group.objects.create(gid="a group of rome"), name="a group of rome")
    assert AbuseReport.objects.count() == 3
    abuse.handle(again, State.DISMISSED, "", None)
    assert abuse.report(ann, Reason.SPAM, user=bob, name="bob").pk != first.pk


def test_reports_are_limited(ann: User, bob: User, settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "LIMITS": {"abuse_reports_per_user": 2}}
    for number in (1, 2):
        abuse.report(ann, Reason.SPAM, user=bob, message=number, name="bob")
    abuse.report(ann, Reason.SPAM, user=bob, message=2, name="bob")
    with pytest.raises(Refused, match="tomorrow"):
        abuse.report(ann, Reason.SPAM, user=bob, message=3, name="bob")
    AbuseReport.objects.update(created=timezone.now() - timedelta(days=1, minutes=1))
    abuse.report(ann, Reason.SPAM, user=bob, message=3, name="bob")
    settings.TMTP = {**settings.TMTP, "LIMITS": None}
    for number in range(4, 7):
        abuse.report(ann, Reason.SPAM, user=bob, message=number, name="bob")


def test_long_texts_are_cut(ann: User, bob: User) -> None:
    reported = abuse.report(ann, Reason.SPAM, "x" * 10_000, user=bob, name="n" * 1000, message=1, text="ä" * 100_000)
    reported.refresh_from_db()
    assert (len(reported.comment), len(reported.text)) == (abuse.COMMENT_MAX, abuse.TEXT_MAX)


def test_reports_outlive_their_people(ann: User, bob: User) -> None:
    reported = abuse.report(ann, Reason.SPAM, user=bob, name="bob of rome")
    ann.delete()
    bob.delete()
    reported.refresh_from_db()
    assert (reported.reporter, reported.user, reported.name) == (None, None, "bob of rome")


def test_handling(ann: User, bob: User) -> None:
    admin = get_user_model().objects.create_user("admin")
    reported = abuse.report(ann, Reason.SPAM, user=bob, name="bob")
    abuse.handle(reported, State.RESOLVED, "Barred", admin)
    reported.refresh_from_db()
    assert (reported.state, reported.note, reported.handled_by) == (State.RESOLVED, "Barred", admin)
    assert reported.handled is not None
    abuse.handle(reported, State.RESOLVED, "Barred for good", get_user_model().objects.create_user("another"))
    reported.refresh_from_db()
    assert (reported.note, reported.handled_by) == ("Barred for good", admin)
    abuse.handle(reported, State.OPEN, "Look again", admin)
    reported.refresh_from_db()
    assert (reported.handled, reported.handled_by, reported.note) == (None, None, "Look again")
