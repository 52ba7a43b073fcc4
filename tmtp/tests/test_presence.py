"""Presence lists and privacy, and who sees whom online because of them (op 4), against a model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmtp.engine.presence import OFFLINE, ONLINE, Change, Presence
from tmtp.services.people.privacy import CONTACTS, EVERYONE, NOBODY, OPEN, Privacy

pytestmark = pytest.mark.once

PEOPLE = "abcd"
people = st.sampled_from(PEOPLE)
privacy = st.builds(
    Privacy, st.sampled_from([EVERYONE, CONTACTS, NOBODY]), st.frozensets(people, max_size=2) | st.just(frozenset())
)
steps = st.lists(
    st.tuples(st.sampled_from(["arrive", "leave"]), people, st.just([]))
    | st.tuples(st.sampled_from(["add", "drop"]), people, st.lists(people, max_size=5))
    | st.tuples(st.just("protect"), people, privacy),
    max_size=40,
)


class Model:
    """The rules, written down as simply as possible."""

    def __init__(self) -> None:
        self.links = dict.fromkeys(PEOPLE, 0)
        self.privacy = dict.fromkeys(PEOPLE, OPEN)
        self.announced: set[tuple[str, str]] = set()

    def shows(self, uid: str, other: str) -> bool:
        blocked = other in self.privacy[uid].blocked or uid in self.privacy[other].blocked
        chosen = {EVERYONE: True, CONTACTS: (other, uid) in self.announced, NOBODY: False}
        return (uid, other) in self.announced and chosen[self.privacy[uid].presence] and not blocked

    def seen(self) -> set[tuple[str, str]]:
        """Return who sees whom online, among the users who are online."""
        return {(uid, other) for uid in PEOPLE for other in PEOPLE if self.links[other] and self.shows(uid, other)}


@settings(deadline=None)
@given(steps)
def test_everyone_is_told_of_each_change_once(steps: list[tuple[str, str, list[str]]]) -> None:
    presence, model = Presence(), Model()
    for step, who, what in steps:
        before = model.seen()
        if step == "arrive":
            model.links[who] += 1
            presence.arrive(who, model.privacy[who])
            assert presence.contacts(who) == [uid for uid in PEOPLE if (uid, who) in model.seen()]
            continue
        if not model.links[who]:
            if step == "protect":
                model.privacy[who] = what
            continue
        if step == "leave":
            model.links[who] -= 1
            changes = presence.leave(who)
            if not model.links[who]:
                model.announced = {pair for pair in model.announced if pair[0] != who}
        elif step == "protect":
            changes = presence.protect(who, what)
            model.privacy[who] = what
        elif step == "add":
            changes = presence.add(who, what)
            model.announced |= {(who, other) for other in what}
        else:
            changes = presence.drop(who, what)
            model.announced -= {(who, other) for other in what}
        after = model.seen()
        told = [change for change in changes if model.links[change.other]]
        assert len(told) == len(set(told))
        wanted = {Change(*pair, ONLINE) for pair in after - before}
        wanted |= {Change(*pair, OFFLINE) for pair in before - after if model.links[pair[1]]}
        assert set(told) == wanted


def test_nothing_is_kept_of_who_is_gone() -> None:
    presence = Presence()
    for uid in "ab":
        presence.arrive(uid, Privacy(NOBODY))
        presence.add(uid, ["a", "b", "c"])
    for uid in "ab":
        presence.leave(uid)
        presence.add(uid, ["c"])  # the store has answered after the end of the link
        presence.protect(uid, Privacy(CONTACTS))
    assert not any(vars(presence).values())
