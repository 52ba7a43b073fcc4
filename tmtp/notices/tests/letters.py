"""Messages that the tests of notices write."""

from __future__ import annotations

from tmtp.mailbox.tests.mailboxes import letter, sender_of


def write(bob, ann, subject="Lunch?", **more):
    return letter(bob, "bob the second", subject, "At noon.", sender_of(ann), **more)
