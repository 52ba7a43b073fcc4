"""Whether a member looks at a page, from what their pages say in any order."""

from __future__ import annotations

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tmtp.mailbox.tests.mailboxes import member
from tmtp.notices.looking import LOOKING, REMEMBERED, forget_old, is_looking, note
from tmtp.notices.models import OpenPage

pytestmark = pytest.mark.django_db
PATH = "/notifications/looking/"
SAID = st.fixed_dictionaries({page: st.lists(st.booleans(), max_size=3) for page in ("a", "b")})


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_what_pages_say_may_arrive_in_any_order(ann, data):
    said = data.draw(SAID)
    OpenPage.objects.all().delete()
    words = [(page, word, visible) for page in said for word, visible in enumerate(said[page])]
    for page, word, visible in data.draw(st.permutations(words)):
        note(ann.account, page, word, visible)
    assert is_looking(ann.account) == any(all_of[-1:] == [True] for all_of in said.values())


def test_a_page_that_says_no_more_is_believed_for_a_while(ann):
    note(ann.account, "a", 1, True)
    now = timezone.now()
    OpenPage.objects.update(at=now - LOOKING / 2)
    assert is_looking(ann.account)
    OpenPage.objects.update(at=now - LOOKING)
    assert not is_looking(ann.account)
    note(ann.account, "a", 2, True)
    assert is_looking(ann.account)


@pytest.mark.once
def test_a_page_that_was_left_is_remembered_longer_than_a_request_is_on_its_way(ann):
    note(ann.account, "a", 2, False)
    OpenPage.objects.update(at=timezone.now() - REMEMBERED / 2)
    forget_old()
    note(ann.account, "a", 1, True)
    assert not is_looking(ann.account)
    OpenPage.objects.update(at=timezone.now() - REMEMBERED)
    forget_old()
    assert not OpenPage.objects.exists()


@pytest.mark.once
def test_a_member_s_pages_are_bounded_without_a_worker(ann, monkeypatch):
    monkeypatch.setattr("tmtp.notices.looking.PAGES_MAX", 2)
    eve = member("eve the third")[0]
    note(eve, "a", 1, True)
    for page in ("a", "b", "c", "a", "d"):
        note(ann.account, page, 1, True)
    assert set(OpenPage.objects.filter(account=ann.account).values_list("page", flat=True)) == {"a", "d"}
    assert is_looking(eve)


@pytest.mark.once
def test_pages_of_other_members_and_of_before_an_update(client, ann):
    client.post(PATH, {"page": "a", "word": "2"})
    client.post(PATH, {"page": "a", "word": "1", "visible": "1"})
    assert not is_looking(ann.account)
    client.post(PATH, {"visible": "1"})
    assert is_looking(ann.account)
    client.post(PATH)
    assert not is_looking(ann.account)
    client.post(PATH, {"page": "a", "word": "3", "visible": "1"})
    assert is_looking(ann.account)
    assert not is_looking(member("eve the third")[0])


@pytest.mark.once
@pytest.mark.parametrize(
    "odd", [{"word": "x"}, {"word": "-1"}, {"word": str(2**63)}, {"page": "a" * 41}, {"page": "\0"}, {"page": "é"}]
)
def test_what_no_page_says(client, ann, odd):
    answer = client.post(PATH, {"page": "a", "word": "1", "visible": "1", **odd})
    assert (answer.status_code, answer["Content-Type"]) == (400, "text/plain")
    assert "a whole number" in answer.text
    assert not is_looking(ann.account)
