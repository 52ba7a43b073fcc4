"""Who announces to whom (op 4): against a model of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmtp.presence import Presence

pytestmark = pytest.mark.once

people = st.sampled_from("abcd")
steps = st.lists(
    st.tuples(st.sampled_from(["arrive", "leave"]), people, st.just([]))
    | st.tuples(st.sampled_from(["add", "drop"]), people, st.lists(people, max_size=5)),
    max_size=40,
)


@settings(deadline=None)
@given(steps)
def test_everyone_is_told_of_each_change_once(steps: list[tuple[str, str, list[str]]]) -> None:
    presence = Presence()
    links = dict.fromkeys("abcd", 0)
    announced: set[tuple[str, str]] = set()
    for step, who, others in steps:
        before = set(announced)
        if step == "arrive":
            links[who] += 1
            assert presence.arrive(who) == sorted(one for one, other in announced if other == who)
            continue
        if not links[who]:
            continue
        if step == "leave":
            links[who] -= 1
            told = presence.leave(who)
            if not links[who]:
                announced = {pair for pair in announced if pair[0] != who}
        elif step == "add":
            told = presence.add(who, others)
            announced |= {(who, other) for other in others}
        else:
            told = presence.drop(who, others)
            announced -= {(who, other) for other in others}
        assert len(told) == len(set(told))
        assert {(who, other) for other in told} == before ^ announced


def test_nothing_is_kept_of_who_is_gone() -> None:
    presence = Presence()
    for uid in "ab":
        presence.arrive(uid)
        presence.add(uid, ["a", "b", "c"])
    for uid in "ab":
        presence.leave(uid)
    assert not any(vars(presence).values())
