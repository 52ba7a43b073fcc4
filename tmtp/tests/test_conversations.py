"""Every operation and every error on the wire, against the real server over TLS: see conversations/README.md."""

from pathlib import Path

import pytest

from tmtp.protocol import errors

from . import player
from .player import Player, read_script, read_scripts

FOLDER = Path(__file__).parent / "conversations"
SCRIPTS = dict(read_scripts(FOLDER))
NEVER_SAID = errors.TMTPREV_OMITTED  # before op 0 is complete, the client gets no reason


@pytest.mark.parametrize("name", SCRIPTS)
def test_conversation(name, server_for):
    conversation = SCRIPTS[name]
    Player(server_for(conversation.server), conversation, server_for.website).play()


def test_every_reason_is_in_a_conversation():
    said = "".join(file.read_text("utf-8") for file in FOLDER.glob("*.talk"))
    reasons = {value for name, value in vars(errors).items() if name.isupper()} - {NEVER_SAID}
    assert not [reason for reason in reasons if f'"error":"{reason}"' not in said]


GOOD = """
== a post
people ann bob cid
ann > {"op":7,"id":"1","for":[{"id":"$bob","type":1}]} "hello"
ann < {"op":"ack","id":"1","msgid":"$m","posted":"$t"}
bob < {"op":"delivery","from":"$ann","id":"$m","posted":"$t"} "hello"
"""
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


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_as_the_script_says_is_noticed(what, server_for, monkeypatch):
    (good,), (wrong,) = read_script(GOOD), read_script(GOOD.replace(*WRONG[what]))
    Player(server_for("{}"), good).play()
    monkeypatch.setattr(player, "PATIENCE", 0.05)  # do not wait long for frames that never come
    monkeypatch.setattr(player, "LINK_PATIENCE", 0.3)
    with pytest.raises((AssertionError, TimeoutError)):
        Player(server_for("{}"), wrong).play()
