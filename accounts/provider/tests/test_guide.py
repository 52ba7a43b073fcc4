"""The code in docs/how-to/site-as-provider.md."""

from types import SimpleNamespace

import pytest
from oauth2_provider.signals import app_authorized

from mnmsite.tests.test_docs import DOCS, blocks, run_block
from tmtp.models import Identity, Node
from tmtp.services.people.devices import make_node
from tmtp.services.people.linking import user_of

pytestmark = [pytest.mark.once, pytest.mark.django_db]
CUT_OFF, JOIN = blocks(DOCS / "how-to" / "site-as-provider.md")


def test_all_devices_are_cut_off(ann):
    for label in ("phone", "laptop"):
        make_node(user_of(ann), label)
    run_block(*CUT_OFF)["cut_off"](ann)
    devices = user_of(ann).nodes.filter(kind=Node.Kind.DEVICE)
    assert [node.dropped is None for node in devices] == [False, False]


def test_a_site_of_its_own_says_whom_a_token_means(ann):
    join = run_block(*JOIN)["join"]
    try:
        for client_id in ("another", "my client id"):
            assert not Identity.objects.exists()
            token = SimpleNamespace(application=SimpleNamespace(client_id=client_id), user=ann)
            app_authorized.send(None, request=None, token=token)
    finally:
        app_authorized.disconnect(join)
    identity = Identity.objects.get()
    assert (identity.user, identity.iss, identity.sub) == (user_of(ann), "https://www.example.org/o", str(ann.pk))
