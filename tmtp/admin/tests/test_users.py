import pytest

from tmtp.admin.tests import admin_pages
from tmtp.admin.tests.admin_pages import Account, filled, text, url, waiting_for
from tmtp.models import Alias, User
from tmtp.services.people import linking, privacy
from tmtp.services.people.site import site_user

pytestmark = [pytest.mark.once, pytest.mark.django_db]
ann, bob = admin_pages.ann, admin_pages.bob


def change_user(client, sender, **values):
    page = url("user_change", sender.user)
    return client.post(page, {**filled(client.get(page)), **values}, follow=True)


def test_link_and_unlink_an_account(admin_client, ann):
    account = Account.objects.create_user("anna")
    change_user(admin_client, ann, account=account.pk)
    assert User.objects.get(pk=ann.user).account == account
    change_user(admin_client, ann, account="")
    assert User.objects.get(pk=ann.user).account is None


def test_an_account_is_one_user(admin_client, ann, bob):
    account = Account.objects.create_user("anna")
    change_user(admin_client, ann, account=account.pk)
    assert "already exists" in text(change_user(admin_client, bob, account=account.pk))
    with pytest.raises(linking.Refused):
        linking.link_account(User.objects.get(pk=bob.user), account)
    assert User.objects.get(pk=bob.user).account is None


def test_aliases(admin_client, ann):
    new = {"aliases-TOTAL_FORMS": 2, "aliases-1-name": "ann the singer", "aliases-1-user": ann.user}
    change_user(admin_client, ann, **new)
    assert Alias.objects.get(name="ann the singer").user_id == ann.user
    ((kind, head),) = waiting_for(ann)
    assert kind == "user"
    assert '"newalias":"ann the singer"' in head
    response = admin_client.get(url("user_change", ann.user))
    (formset,) = [
        item.formset for item in response.context["inline_admin_formsets"] if item.formset.prefix == "aliases"
    ]
    (prefix,) = [form.prefix for form in formset.forms if form.instance.name == "ann of rome"]
    change_user(admin_client, ann, **{f"{prefix}-drop": "on"})
    assert Alias.objects.get(name="ann of rome").dropped
    assert Alias.objects.get(name="ann the singer").dropped is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bob of rome", "already exists"),
        ("short", "A name must have at least 8 characters."),
        ("bob of r\u043eme", "“bob of r\u043eme” is already taken, or looks like a name that is."),
    ],
)
def test_aliases_refused(admin_client, ann, bob, name, reason):
    new = {"aliases-TOTAL_FORMS": 2, "aliases-1-name": name, "aliases-1-user": ann.user}
    shown = text(change_user(admin_client, ann, **new))
    assert reason in shown
    assert "was changed successfully" not in shown
    assert Alias.objects.filter(user=ann.user).count() == 1
    assert not waiting_for(ann)


def test_whom_a_user_blocks_and_who_sees_them_is_shown(admin_client, ann, bob):
    user, other = User.objects.get(pk=ann.user), User.objects.get(pk=bob.user)
    assert "Blocked users" not in text(admin_client.get(url("user_change", ann.user)))
    privacy.block(user, other)
    privacy.set_presence(user, User.Presence.CONTACTS)
    page = text(admin_client.get(url("user_change", ann.user)))
    assert "Blocked users" in page
    assert bob.uid in page
    assert "contacts" in page
    assert "Blocked users" not in text(admin_client.get(url("user_change", bob.user)))


def test_delete(admin_client, ann):
    user = User.objects.get(aliases__name="ann of rome")
    page = url("user_delete", user.pk)
    assert "ann of rome" in text(admin_client.get(page))
    admin_client.post(page, {"post": "yes"})
    assert not User.objects.filter(pk=user.pk).exists()
    assert admin_client.get(url("user_delete", site_user().pk)).status_code == 403
