"""The code of the guides to answers and workers runs as it stands."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from django.contrib.auth import get_user_model

from delivery import tasks
from tmtp.models import User
from tmtp.services import accounts
from tmtp.tests.people import someone, waiting
from tmtp.tests.test_docs import DOCS, blocks, run_block

from .test_answers import left, write

pytestmark = [pytest.mark.once, pytest.mark.django_db]


def test_the_guide_to_answers(settings, monkeypatch, capsys):
    handler, reading = blocks(DOCS / "how-to" / "receive-answers.md")
    module = ModuleType("shop_messages")
    names = run_block(*handler)
    module.received = names["received"]
    monkeypatch.setitem(sys.modules, "shop_messages", module)
    settings.DELIVERY = {"HANDLER": "shop_messages.received"}
    ann, bob = someone("ann of rome"), someone("bob of ulm")
    accounts.link_account(User.objects.get(pk=ann.user), get_user_model().objects.create(username="ann"))
    write(ann), write(bob)
    tasks.answers()
    assert left() == []
    assert get_user_model().objects.get().last_name == "Order 17: Where is it?"
    assert waiting(ann)[-1]["data"].endswith(b"Thank you. We have *Order 17*, and answer soon.")
    assert b"please link this device" in waiting(bob)[-1]["data"]
    write(ann)
    run_block(*reading, transaction=names["transaction"])
    assert capsys.readouterr().out == "Order 17\n"
    assert left() == []
