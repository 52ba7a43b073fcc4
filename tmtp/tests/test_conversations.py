"""Every operation and every error on the wire, against the real server over TLS.

Every other conversation is played against a server with two processes for links: with each database, one half of them.
`pytest tmtp/tests/test_conversations.py --processes=2` plays all of them against two processes.
"""

import itertools
from functools import partial

import pytest

from tmtp.protocol import errors
from tmtp.simulation.verification.differences import Differs
from tmtp.simulation.verification.player import Player
from tmtp.simulation.verification.script import FOLDER, before_answer, parse, read_conversations
from tmtp.testing import Client

from .databases import on_postgresql

CONVERSATIONS = {conversation.name: conversation for conversation in read_conversations()}
NEVER_SAID = errors.TMTPREV_OMITTED  # before op 0 is complete, the client gets no reason


def processes_for(name, option):
    """Return with how many processes for links a conversation is played."""
    conversation = CONVERSATIONS[name]
    if option or conversation.server:
        return option or 1  # a server with settings of its own serves few conversations
    return 1 + (list(CONVERSATIONS).index(name) + on_postgresql()) % 2


def marks_of(conversation):
    """Return the marks of a conversation: those about settings of registration do not depend on the database."""
    return [pytest.mark.once] if {"OPEN_REGISTRATION", "OPENID"} & conversation.server.keys() else []


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks_of(one)) for name, one in CONVERSATIONS.items()])
def test_conversation(name, server_for, pytestconfig):
    conversation = CONVERSATIONS[name]
    server = server_for(conversation.server, processes_for(name, pytestconfig.getoption("processes")))
    Player(server.client, conversation, server_for.website if conversation.needs_website else None).play()


@pytest.mark.once
def test_every_reason_is_in_a_conversation():
    said = "".join(file.read_text("utf-8") for file in FOLDER.glob("*.conversation"))
    reasons = {value for name, value in vars(errors).items() if name.isupper()} - {NEVER_SAID}
    assert not [reason for reason in reasons if f'"error":"{reason}"' not in said]


GOOD = """
== a post
people ann bob cid
ann > {"op":7,"id":"1","for":[{"id":"$bob","type":1}]} "hello"
ann < {"op":"ack","id":"1","msgid":"$m","posted":"$t"}
bob < {"op":"delivery","from":"$ann","id":"$m","posted":"$t"} "hello"
"""
POSTED = 'ann < {"op":"ack","id":"1","msgid":"$m","posted":"$t"}\n'
COPY = 'ann/2 < {"op":"delivery","from":"$ann","id":"$m","posted":"$t"} "hello"\n'
WRONG = {
    "a message too many": ('{"id":"$bob","type":1}', '{"id":"$bob","type":1},{"id":"$cid","type":1}'),
    "a message too few": ('"for":[{"id":"$bob","type":1}]', '"for":[]'),
    "another message": ('"delivery"', '"notify"'),
    "other data": ('{"op":"delivery","from":"$ann","id":"$m","posted":"$t"} "hello"', '{"op":"delivery"} "hallo"'),
    "a field too few": ('"from":"$ann",', ""),
    "a field too many": ('"from":"$ann"', '"from":"$ann","datahead":1'),
    "another sender": ('"from":"$ann"', '"from":"$bob"'),
    "another number": ('"from":"$ann","id":"$m"', '"from":"$ann","id":"$t"'),
    "an error": ('"msgid":"$m","posted":"$t"}\nbob', '"error":"..."}\nbob'),
    "not the end": ('bob < {"op":"delivery","from":"$ann","id":"$m","posted":"$t"} "hello"', "cid < closed"),
}


@pytest.mark.once
@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_as_the_conversation_says_is_noticed(what, server_for):
    (good,), (wrong,) = parse(GOOD), parse(GOOD.replace(*WRONG[what]))
    server = server_for({})
    Player(server.client, good).play()
    impatient = partial(server.client, 1)  # do not wait long for frames that never come
    with pytest.raises(Differs) as differs:
        Player(impatient, wrong, patience=0.05).play()
    assert {difference.line for difference in differs.value.differences} <= {4, 5, 6}


@pytest.mark.once
def test_a_line_that_is_none():
    with pytest.raises(ValueError, match=r"x\.conversation:3: Ann says hello"):
        list(parse("== a title\npeople ann\nAnn says hello\n", "x.conversation"))


class Behind(Client):
    """A device that gets the `login` messages of others late, as from a server that is still handing them over."""

    BY = 5  # messages

    def receive(self):
        kept = self.__dict__.setdefault("kept", [])
        if kept and kept[0][1] == 0:
            return kept.pop(0)[0]
        message = super().receive()
        if message.op == "login":
            kept.append([message, self.BY])
            return self.receive()
        for one in kept:
            one[1] = max(0, one[1] - 1)
        return message


@pytest.mark.once
def test_a_login_message_that_is_handed_over_late_belongs_to_no_block(server_for):
    server = server_for({})
    links = itertools.count()

    def connect():
        kind = Client if next(links) == 1 else Behind  # the second link is that of the device that logs in
        return kind(server.address, server.tls, 10)

    (conversation,) = parse(GOOD.replace("ann bob cid", "ann ann/2 bob cid").replace(POSTED, POSTED + COPY))
    Player(connect, conversation).play()


INVITED = """== bob accepts, and ann writes
people ann bob
ann > {"op":5,"id":"1","gid":"club @","from":"ann of @","to":"bob of @"}
bob > {"op":6,"id":"1","gid":"club @","act":"join"}
bob >> 0000
bob cuts
bob < {"op":"invite","from":"$ann","gid":"club @","alias":"ann of @","to":"bob of @"} "{}"
bob < {"op":"member","from":"$ann","act":"invite","gid":"club @","alias":"bob of @"}
bob < {"op":"ack","id":"1"}
bob < {"op":"member","from":"$bob","act":"join","gid":"club @","alias":"bob of @"}
bob < {"op":"ack","id":"2"}
bob < closed
"""


@pytest.mark.once
def test_what_someone_receives_before_an_answer():
    ((block,),) = [conversation.blocks for conversation in parse(INVITED)]
    invitation, join, unreadable, cut, *received = block
    assert before_answer(join, received) == received[:2]
    assert before_answer(invitation, received[3:]) == [], "it has no answer there"
    assert before_answer(unreadable, received) == before_answer(cut, received) == []
    assert before_answer(join, received[2:]) == [], "the answer is the first line"
