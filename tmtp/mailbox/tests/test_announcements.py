"""Announcement groups in the mailbox: who may not write to them sees why instead of a form."""

from __future__ import annotations

import pytest
from django.urls import reverse

from tmtp.models import Group, Member
from tmtp.protocol.requests import TO_GROUP, Recipient
from tmtp.services.groups import roles
from tmtp.services.messages import posting
from tmtp.services.messages.post_format import Person, compose
from tmtp.services.messages.posts import Post

from .mailboxes import group, sender_of, threads

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def test_who_may_not_write_to_a_group_sees_no_form(browser, ann, bob):
    gid = group(bob, sender_of(ann))
    its = Group.objects.get(gid=gid)
    made = compose(Person("bob the second", bob.uid), "News", "The hall is closed", readers=[Person(gid, gid)])
    posting.post([Post(bob, [Recipient(gid, TO_GROUP)], b"".join(made.pieces()), made.datahead)])
    (thread,) = threads(ann)
    where = reverse("tmtp_mailbox:thread", args=[thread.pk])
    assert 'name="text"' in browser.get(where).text
    Member.objects.filter(group=its, user=bob.user).update(role=Member.Role.OWNER)
    roles.set_rules(its, joining=1, posting=2, barring=1)
    page = browser.get(where).text
    assert 'name="text"' not in page
    assert "Only the owner and moderators can write to" in page
    answer = browser.post(where, {"text": "hello", "once": "1"}, follow=True)
    assert "Only the owner and moderators can write to" in answer.text
    roles.set_role(its, ann.user, Member.Role.MODERATOR)
    assert 'name="text"' in browser.get(where).text
