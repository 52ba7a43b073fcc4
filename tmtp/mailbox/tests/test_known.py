"""Recipients are completed from people and groups that one knows, and from no others."""

from __future__ import annotations

import pytest
from django.urls import reverse

from tmtp.mailbox.known import known
from tmtp.models import Member, User
from tmtp.services.people import privacy
from tmtp.services.people.users import add_alias
from tmtp.tests.people import someone

from .mailboxes import group, letter, person, sender_of, threads

pytestmark = pytest.mark.django_db


def names(node, typed=""):
    return [one.name for one in known(node, typed)]


@pytest.mark.once
def test_people_written_with_and_people_in_own_groups_are_known(ann, bob):
    carla = someone("Carla Łęcka")
    someone("a stranger here")
    gid = group(sender_of(ann), carla)
    Member.objects.filter(user=carla.user).update(alias="Carla Łęcka")
    letter(bob, "bob the second", "Chess", "When?", ann.user, readers=[person(bob, "bob the second")])
    threads(ann)
    assert names(ann) == ["bob the second", gid, "Carla Łęcka"]
    assert [one.is_group for one in known(ann)] == [False, True, False]
    assert names(ann, "SEC") == ["bob the second"]  # words, in any case
    assert names(ann, "lecka") == ["Carla Łęcka"]
    assert names(ann, "stranger") == names(ann, "arla") == []


def test_no_other_name_of_a_known_person_is_disclosed(ann, bob):
    group(sender_of(ann), bob)
    Member.objects.filter(user=bob.user).update(alias="bob the second")
    add_alias(bob, "bob in another life")
    assert names(ann, "bob") == ["bob the second"]


def test_those_who_left_or_are_blocked_or_gone_are_not_offered(ann, bob):
    carl, dora = someone("carl the third"), someone("dora the fourth")
    gid = group(sender_of(ann), bob, carl, dora)
    for one, alias in ((bob, "bob the second"), (carl, "carl the third"), (dora, "dora the fourth")):
        Member.objects.filter(user=one.user).update(alias=alias)
    privacy.block(ann.user, User.objects.get(pk=bob.user))
    Member.objects.filter(user=carl.user).update(status=Member.Status.BARRED)
    assert names(ann) == [gid, "dora the fourth"]
    Member.objects.filter(user=ann.user).delete()
    assert names(ann) == []


def test_the_page_asks_in_json(browser, ann, bob):
    gid = group(sender_of(ann), bob)
    answer = browser.get(reverse("tmtp_mailbox:known"), {"q": gid[:5]}).json()
    assert answer == {"found": [{"name": gid, "group": "group"}], "text": "1 suggestion"}


def test_names_on_lines_may_have_commas(browser, ann, bob):
    someone("Ltd., Chess and Co")
    given = {"to": "bob the second\nLtd., Chess and Co", "subject": "Chess", "text": "On Friday?"}
    assert browser.post(reverse("tmtp_mailbox:compose"), given).status_code == 302
