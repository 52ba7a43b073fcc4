"""Which messages a member is told of, and when not."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmtp.mailbox.models import Thread
from tmtp.notices.models import Kind, Preferences
from tmtp.notices.rules import Rules, kind_of

pytestmark = pytest.mark.once
UID = "1" * 32
PERSON = Thread(key="a", participants=[UID])
CLUB = Thread(key="b", participants=[UID, "chess club"])
EVENTS = Thread(key="group:chess club")
PING = Thread(key="ping:" + UID)
UNKNOWN = Thread(key="c", participants=None)
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def rules(overrides=(), **preferences):
    return Rules(Preferences(**preferences), dict(overrides))


def test_kinds():
    kinds = [kind_of(thread) for thread in (PERSON, CLUB, EVENTS, PING, UNKNOWN)]
    assert kinds == [Kind.MESSAGES, Kind.GROUPS, Kind.GROUPS, Kind.PINGS, Kind.MESSAGES]


@pytest.mark.parametrize("channel", ["push", "desktop"])
def test_each_kind_can_be_left_out(channel):
    assert all(rules().wants(thread, channel) for thread in (PERSON, CLUB, EVENTS, PING))
    for kind, thread in ((Kind.MESSAGES, PERSON), (Kind.GROUPS, CLUB), (Kind.PINGS, PING)):
        others = [one for one in Kind.values if one != kind]
        assert not rules(**{channel: others}).wants(thread, channel)
        assert rules(**{channel: [kind.value]}).wants(thread, channel)
    assert rules(push=[], desktop=[]).wants(PERSON, "digest")


def test_an_exception_for_a_thread_comes_before_those_of_its_groups():
    never = {("group", "chess club"): "never"}
    assert not rules(never).wants(CLUB, "push")
    assert not rules(never).wants(EVENTS, "digest")
    assert rules(never).wants(PERSON, "push")
    assert rules({**never, ("thread", "b"): "always"}).wants(CLUB, "push")
    assert rules({("group", "chess club"): "always"}, push=[]).wants(CLUB, "push")


def test_of_several_groups_one_that_says_never_is_enough():
    both = Thread(key="d", participants=["chess club", "go club!"])
    choices = {("group", "chess club"): "always", ("group", "go club!"): "never"}
    assert not rules(choices).wants(both, "push")


def test_a_muted_thread_makes_no_notice():
    muted = Thread(key="e", participants=[UID], muted=True)
    assert not rules({("thread", "e"): "always"}).wants(muted, "push")


@given(st.times(), st.times(), st.datetimes())
def test_quiet_hours_are_those_of_a_clock(begin, end, moment):
    """Going from the beginning to the end of the hours on a clock, one passes the moment."""

    def since_begin(at):
        of_day = [
            timedelta(hours=one.hour, minutes=one.minute, seconds=one.second, microseconds=one.microsecond)
            for one in (at, begin)
        ]
        return (of_day[0] - of_day[1]) % timedelta(days=1)

    quiet = rules(quiet_from=begin, quiet_until=end, time_zone="UTC").is_quiet(moment.replace(tzinfo=UTC))
    assert quiet == (since_begin(moment.time()) < since_begin(end))


def test_quiet_hours_are_in_the_members_zone():
    night = {"quiet_from": time(22), "quiet_until": time(7)}
    assert rules(**night, time_zone="America/New_York").is_quiet(NOON - timedelta(hours=1))  # six in the morning
    assert not rules(**night, time_zone="America/New_York").is_quiet(NOON + timedelta(minutes=1))
    assert not rules(**night, time_zone="UTC").is_quiet(NOON)
    assert not rules(quiet_from=time(22)).is_quiet(NOON)
