"""Every operation and every error on the wire, against the real server over TLS: see conversations/README.md."""

from pathlib import Path

import pytest

from .talk import Talk, read_scripts

SCRIPTS = dict(read_scripts(Path(__file__).parent / "conversations"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_conversation(name, server_for):
    conversation = SCRIPTS[name]
    Talk(server_for(conversation.server), conversation).hold()
