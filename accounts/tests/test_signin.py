"""Sign-up, sign-in, passwords and e-mail addresses, with requests as from a browser."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import get_user_model
from django.core import mail
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from accounts import email_addresses
from accounts.models import Address, MailedLink
from tmtp.delivery.tests.mailers import use_backend

pytestmark = [pytest.mark.django_db, pytest.mark.once]

PASSWORD = "correct horse battery"
USER = get_user_model()


def url(name, *args):
    return reverse(f"accounts:{name}", args=args)


def sign_up(client, name="ann", email="Ann@Example.org", **more):
    form = {"username": name, "email": email, "password1": PASSWORD, **more}
    return client.post(url("sign_up"), form)


def links(text):
    return re.findall(r"http://testserver(\S+)", text)


def shown(client, page="account"):
    return client.get(url(page)).text


@pytest.fixture
def ann(client):
    """Signed up, signed in, address confirmed."""
    sign_up(client)
    client.post(links(mail.outbox.pop().body)[0])
    return USER.objects.get(username="ann")


@pytest.fixture
def stranger(client_class):
    return client_class()


@pytest.fixture
def client_class():
    from django.test import Client

    return Client


# sign up


def test_a_new_member_is_signed_in_and_gets_a_link(client):
    answer = sign_up(client)
    assert answer.status_code == 302
    assert answer.url == url("start")
    assert client.get(answer.url).status_code == 302
    assert "ann" in shown(client)
    (message,) = mail.outbox
    assert message.to == ["ann@example.org"]
    assert email_addresses.users_by_address(["ann@example.org"]) == {}
    assert email_addresses.address_by_user(USER.objects.all()) == {}
    page = client.get(links(message.body)[0])
    assert "ann@example.org" in page.text
    assert email_addresses.users_by_address(["ann@example.org"]) == {}, "the visit alone confirms nothing"
    client.post(links(message.body)[0])
    ann = USER.objects.get()
    assert email_addresses.users_by_address(["ANN@example.org", "bob@example.org"]) == {"ann@example.org": ann}
    assert email_addresses.address_by_user([ann]) == {ann.pk: "ann@example.org"}
    assert ann.email == "ann@example.org"


@pytest.mark.parametrize(
    ("change", "field", "why"),
    [
        ({"username": "a@b"}, "username", "cannot contain “@”"),
        ({"username": ""}, "username", "required"),
        ({"email": "nowhere"}, "email", "valid email"),
        ({"email": ""}, "email", "required"),
        ({"password1": ""}, "password1", "required"),
        ({"password1": "password"}, "password1", "too common"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(client, change, field, why):
    page = sign_up(client, **change)
    assert page.status_code == 200
    (said,) = re.findall(rf'<ul class="errorlist" id="id_{field}_error">(.*?)</ul>', page.text)
    assert why in said
    assert not USER.objects.exists()


def test_a_name_is_taken_in_any_case(client, stranger):
    sign_up(client)
    assert "already exists" in sign_up(stranger, "ANN", "other@example.org").text
    assert USER.objects.count() == 1


ZOE = "Zoé-Straße"  # and ways to write it
WAYS = ["zoé-straße", "ZOÉ-STRASSE", "Zoe\u0301-Straße", "Ｚｏé-straße", " Zoé-Straße "]


@pytest.mark.parametrize("name", WAYS)
def test_usernames_compare_in_the_same_way_everywhere(client, stranger, client_class, name):
    sign_up(client, ZOE)
    assert "already exists" in sign_up(stranger, name, "other@example.org").text
    browser = client_class()
    assert browser.post(url("sign_in"), {"username": name, "password": PASSWORD}).status_code == 302
    assert browser.session["_auth_user_id"] == str(USER.objects.get().pk)


def test_wrong_passwords_count_for_the_member_however_the_name_is_written(client, stranger):
    sign_up(client, ZOE)
    for name in [*WAYS, *WAYS][:9]:
        assert stranger.post(url("sign_in"), {"username": name, "password": "guess"}).status_code == 200
    assert stranger.post(url("sign_in"), {"username": ZOE, "password": "guess"}).status_code == 429
    assert stranger.post(url("sign_in"), {"username": ZOE.lower(), "password": PASSWORD}).status_code == 429


def test_a_changed_username_compares_anew(client, stranger):
    sign_up(client)
    USER.objects.get().delete()
    user = USER.objects.create_user("Émile", password=PASSWORD)
    user.username = "Anton"
    user.save()
    assert stranger.post(url("sign_in"), {"username": "émile", "password": PASSWORD}).status_code == 200
    assert stranger.post(url("sign_in"), {"username": "anton", "password": PASSWORD}).status_code == 302


def test_a_wrong_sign_in_names_both_fields(client):
    page = client.post(url("sign_in"), {"username": "nobody", "password": "guess"}).text
    assert "Wrong username or password" in page


def test_signing_up_does_not_tell_whose_address_is_known(ann, stranger):
    assert sign_up(stranger, "eve").status_code == 302


def test_a_mail_server_that_is_down_loses_nobody(client, settings):
    use_backend(settings, "django.core.mail.backends.smtp.EmailBackend", host="localhost", port=1)
    sign_up(client)
    page = shown(client)
    assert "could not be sent" in page
    assert "not confirmed" in page


def test_where_only_known_people_are_members(client, settings):
    settings.TMTP = {**settings.TMTP, "OPEN_REGISTRATION": False}
    page = client.get(url("sign_up"))
    assert "Ask the site’s administrators" in page.text
    assert "password1" not in page.text
    assert sign_up(client).status_code == 403
    assert not USER.objects.exists()


# addresses


def test_a_strangers_click_confirms_nothing(client, stranger):
    """Eve signs up with Bob's address, and Bob follows the link, signed out or signed in as Bob."""
    sign_up(client, "eve", "bob@example.org")
    link = links(mail.outbox.pop().body)[0]
    assert stranger.post(link).url.startswith(url("sign_in"))
    sign_up(stranger, "bob", "bob@example.org")
    answer = stranger.post(link)
    assert answer.status_code == 403
    assert "another account" in answer.text
    assert email_addresses.users_by_address(["bob@example.org"]) == {}


def test_an_address_is_of_one_member(ann, stranger):
    later(minutes=3)
    sign_up(stranger, "eve")
    answer = stranger.post(links(mail.outbox.pop().body)[0])
    assert "Another account has already confirmed this address" in answer.text
    assert email_addresses.users_by_address(["ann@example.org"]) == {"ann@example.org": ann}


@pytest.mark.parametrize("days", [4, None])
def test_a_link_that_is_old_or_cut_off(client, days, monkeypatch):
    sign_up(client)
    link = links(mail.outbox.pop().body)[0]
    if days:
        monkeypatch.setattr(email_addresses, "LINK_LIFE", timedelta(seconds=-1))
    else:
        link = link[:-2] + "/"
    answer = client.post(link)
    assert answer.status_code == 400
    assert "incomplete or has expired" in answer.text
    assert not Address.objects.filter(verified__isnull=False)


def test_addresses_are_added_mailed_and_removed(ann, client):
    client.post(url("add_address"), {"address": "Second@example.org"})
    assert mail.outbox[0].to == ["second@example.org"]
    client.post(links(mail.outbox[0].body)[0])
    first, second = ann.addresses.order_by("created")
    client.post(url("remove_address", first.pk))
    ann.refresh_from_db()
    assert ann.email == "second@example.org"
    client.post(url("remove_address", second.pk))
    ann.refresh_from_db()
    assert ann.email == ""
    assert "None. Add one" in shown(client)


def test_a_link_to_a_removed_address_confirms_nothing(ann, client):
    client.post(url("add_address"), {"address": "second@example.org"})
    client.post(url("remove_address", ann.addresses.get(verified=None).pk))
    assert "has been removed" in client.post(links(mail.outbox[0].body)[0]).text


def later(minutes):
    MailedLink.objects.update(mailed=F("mailed") - timedelta(minutes=minutes))


def test_an_address_gets_no_flood(client, stranger):
    """Neither by asking again, nor by removing and adding it, nor from another account, nor for a password."""
    sign_up(client)
    client.post(url("mail_again", Address.objects.get().pk))
    assert "a moment ago" in shown(client)
    client.post(url("remove_address", Address.objects.get().pk))
    client.post(url("add_address"), {"address": "ann@example.org"})
    sign_up(stranger, "eve")
    stranger.post(url("password_reset"), {"email": "ann@example.org"})
    assert len(mail.outbox) == 1
    later(minutes=3)
    client.post(url("mail_again", USER.objects.get(username="ann").addresses.get().pk))
    assert len(mail.outbox) == 2


def test_an_address_gets_ten_links_a_day(client):
    sign_up(client)
    for _ in range(12):
        later(minutes=3)
        client.post(url("mail_again", Address.objects.get().pk))
    assert len(mail.outbox) == 10
    later(minutes=60 * 24)
    client.post(url("mail_again", Address.objects.get().pk))
    assert len(mail.outbox) == 11


def test_others_addresses_are_not_mine(ann, stranger):
    sign_up(stranger, "eve", "eve@example.org")
    pk = ann.addresses.get().pk
    assert stranger.post(url("remove_address", pk)).status_code == 404
    assert stranger.post(url("mail_again", pk)).status_code == 404
    assert ann.addresses.exists()


def test_an_address_that_is_none_is_said_beside_the_field(ann, client):
    assert 'id="id_address_error"' in client.post(url("add_address"), {"address": "nowhere"}).text


# sign in and out


@pytest.mark.parametrize("name", ["ann", "ann@example.org", "Ann@Example.ORG"])
def test_sign_in_by_name_or_confirmed_address(ann, stranger, name):
    answer = stranger.post(url("sign_in"), {"username": name, "password": PASSWORD})
    assert answer.status_code == 302
    assert stranger.session["_auth_user_id"] == str(ann.pk)


def test_no_sign_in_by_an_address_that_is_only_claimed(client, stranger):
    sign_up(client)
    page = stranger.post(url("sign_in"), {"username": "ann@example.org", "password": PASSWORD})
    assert "Wrong username or password" in page.text


@pytest.mark.parametrize("to", ["/account/", "/sign-up/?next=/"])
def test_on_to_where_one_wanted_to_go(ann, stranger, to):
    answer = stranger.post(url("sign_in"), {"username": "ann", "password": PASSWORD, "next": to})
    assert answer.url == to


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
@pytest.mark.parametrize("page", ["sign_in", "sign_up"])
def test_nobody_is_sent_elsewhere(ann, stranger, page, to):
    assert "evil" not in stranger.get(url(page), {"next": to}).text
    form = {"username": "ann", "password": PASSWORD}
    if page == "sign_up":
        form = {"username": "eve", "email": "eve@example.org", "password1": PASSWORD}
    assert stranger.post(url(page), {**form, "next": to}).url == url("start")


def test_members_only_pages_lead_to_sign_in_and_back(client):
    answer = client.get(url("account"))
    assert answer.url == f"{url('sign_in')}?next={url('account')}"


def test_sign_out_is_no_link(ann, client):
    assert client.get(url("sign_out")).status_code == 405
    assert client.post(url("sign_out")).url == url("home")
    assert "_auth_user_id" not in client.session


# passwords


def test_a_forgotten_password(ann, stranger):
    later(minutes=3)
    stranger.post(url("password_reset"), {"email": "ANN@example.org"})
    (message,) = mail.outbox
    assert message.to == ["ann@example.org"]
    page = stranger.get(links(message.body)[0])
    new = {"new_password1": "staple " + PASSWORD}
    assert stranger.post(page.url, new).url == url("sign_in")
    assert stranger.post(url("sign_in"), {"username": "ann", "password": new["new_password1"]}).status_code == 302
    assert "no longer valid" in stranger.get(links(message.body)[0]).text


def test_a_claimed_address_gets_no_reset(client, stranger):
    sign_up(client)
    mail.outbox.clear()
    later(minutes=3)
    assert stranger.post(url("password_reset"), {"email": "ann@example.org"}).url == url("password_reset_done")
    assert mail.outbox == []


def test_the_reset_goes_to_the_address_asked_for(ann, client, stranger):
    client.post(url("add_address"), {"address": "second@example.org"})
    client.post(links(mail.outbox.pop().body)[0])
    later(minutes=3)
    stranger.post(url("password_reset"), {"email": "second@example.org"})
    assert mail.outbox[0].to == ["second@example.org"]


def test_change_the_password(ann, client, stranger):
    stranger.force_login(ann)
    old = {"old_password": PASSWORD, "new_password1": "staple " + PASSWORD}
    assert client.post(url("password_change"), {**old, "old_password": "x"}).status_code == 200
    assert client.post(url("password_change"), old).url == url("account")
    assert client.get(url("account")).status_code == 200
    assert stranger.get(url("account")).status_code == 302, "other browsers are signed out"


def test_a_new_password_is_asked_for_once_and_must_be_a_good_one(ann, client):
    page = client.get(url("password_change"))
    assert page.text.count('autocomplete="new-password"') == 1
    answer = client.post(url("password_change"), {"old_password": PASSWORD, "new_password1": "password"})
    assert "too common" in str(answer.context["form"].errors["new_password1"])
    assert client.post(url("password_change"), {"old_password": PASSWORD}).context["form"].errors.keys() == {
        "new_password1"
    }


def test_a_first_password(ann, client):
    ann.set_unusable_password()
    ann.save()
    client.force_login(ann)
    assert "old_password" not in client.get(url("password_change")).text
    client.post(url("password_change"), {"new_password1": PASSWORD})
    ann.refresh_from_db()
    assert ann.check_password(PASSWORD)


def test_sign_in_is_headed_by_the_sites_name(client):
    assert "testserver" not in client.get(url("sign_in")).text


def test_passwords_are_not_guessed(ann, stranger, client_class):
    """After ten wrong ones, the right one is refused too, but not from another address, and not for ever."""

    def attempt(password, address="192.0.2.1", name="ann"):
        return stranger.post(url("sign_in"), {"username": name, "password": password}, REMOTE_ADDR=address)

    for _ in range(9):
        assert attempt("guess").status_code == 200
    assert attempt("guess", name="ann@example.org").status_code == 429
    refused = attempt(PASSWORD)
    assert refused.status_code == 429
    assert "Too many attempts" in refused.text
    assert attempt(PASSWORD, "192.0.2.2").status_code == 302
    stranger.logout()
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert attempt(PASSWORD).status_code == 302


def test_names_that_are_too_long_are_refused_and_counted_like_others(stranger):
    """Some characters become 18 others in the spelling under which usernames compare."""
    refused = stranger.post(url("sign_in"), {"username": "9" * 5000, "password": "guess"})
    assert refused.status_code == 200 and 'id="id_username_error"' in refused.text
    for name in ("n" * 254, "\ufdfa" * 200):
        assert sign_in(stranger, name, "guess", "192.0.2.1") == 200
    assert AccessAttempt.objects.count() == 2


def test_a_stolen_session_does_not_help_to_guess_the_password(ann, client):
    """Wrong old passwords count like those at sign-in, there and in the admin."""
    new = {"old_password": "guess", "new_password1": "quite another horse"}
    for _ in range(9):
        assert "errorlist" in client.post(url("password_change"), new).text
    assert client.post(url("password_change"), new).status_code == 429
    assert client.post(url("password_change"), {**new, "old_password": PASSWORD}).status_code == 429
    ann.refresh_from_db()
    assert ann.check_password(PASSWORD)
    USER.objects.update(is_staff=True)
    assert client.get(reverse("admin:password_change")).url == url("password_change")


def sign_in(browser, name, password, address):
    return browser.post(url("sign_in"), {"username": name, "password": password}, REMOTE_ADDR=address).status_code


def tried(name, times, address):
    """Let this be an address from which so many wrong passwords for a name came."""
    AccessAttempt.objects.create(
        username=name, ip_address=address, failures_since_start=times, attempt_time=timezone.now()
    )


def test_an_address_may_not_try_every_name(ann, stranger):
    """After a hundred wrong passwords for any names it must wait, and no other address."""
    for number in range(18):
        tried(f"nobody{number}", 5, "192.0.2.7")
    for number in range(90, 99):
        assert sign_in(stranger, f"nobody{number // 5}", "guess", "192.0.2.7") == 200
    assert sign_in(stranger, "nobody", "guess", "192.0.2.7") == 429
    assert sign_in(stranger, "ann", PASSWORD, "192.0.2.7") == 429
    assert sign_in(stranger, "ann", PASSWORD, "192.0.2.8") == 302
    stranger.logout()
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert sign_in(stranger, "ann", PASSWORD, "192.0.2.7") == 302


def test_a_name_that_many_addresses_try_is_not_locked_for_its_owner(ann, stranger):
    """Each address has few tries for it then."""
    for number in range(9):
        tried("ann", 5, f"192.0.2.{number}")
    for _ in range(5):
        sign_in(stranger, "ann", "guess", "192.0.2.9")
    assert [sign_in(stranger, "ann", "guess", "192.0.2.100") for _ in range(3)] == [200, 429, 429]
    assert sign_in(stranger, "bob", "guess", "192.0.2.100") == 200
    assert sign_in(stranger, "ann", "guess", "192.0.2.101") == 200
    assert sign_in(stranger, "ann", PASSWORD, "192.0.2.101") == 302


def test_a_new_password_by_mail_lets_one_in_again(ann, stranger):
    for _ in range(10):
        stranger.post(url("sign_in"), {"username": "ann", "password": "guess"})
    later(minutes=3)
    stranger.post(url("password_reset"), {"email": "ann@example.org"})
    page = stranger.get(links(mail.outbox[0].body)[0])
    stranger.post(page.url, {"new_password1": PASSWORD + "!"})
    assert stranger.post(url("sign_in"), {"username": "ann", "password": PASSWORD + "!"}).status_code == 302


# the admin


def test_an_address_that_the_operator_confirms(admin_client, ann):
    page = admin_client.get(reverse("admin:auth_user_change", args=[ann.pk]))
    assert 'value="ann@example.org"' in page.text
    form = {"user": ann.pk, "address": "Work@Example.org", "verified_0": "2026-01-01", "verified_1": "00:00"}
    assert admin_client.post(reverse("admin:accounts_address_add"), form).status_code == 302
    assert email_addresses.users_by_address(["work@example.org"]) == {"work@example.org": ann}
    page = admin_client.post(reverse("admin:accounts_address_add"), {**form, "user": 1})
    assert page.status_code == 200, "it is one member's"


# international domains

FORMS = ["ann@exämple.org", "Ann@EXÄMPLE.org", "ann@exa\N{COMBINING DIAERESIS}mple.org", "ann@xn--exmple-cua.org"]


@pytest.mark.parametrize("given", FORMS)
@pytest.mark.parametrize("asked", FORMS)
def test_an_international_domain_is_one_address(client, stranger, given, asked):
    """It may be typed in Unicode or in ASCII form, at sign-up as well as later."""
    sign_up(client, email=given)
    (message,) = mail.outbox
    assert message.to == ["ann@xn--exmple-cua.org"]
    client.post(links(message.body)[0])
    assert list(email_addresses.users_by_address([asked])) == ["ann@xn--exmple-cua.org"]
    answer = stranger.post(url("sign_in"), {"username": asked, "password": PASSWORD})
    assert answer.status_code == 302
    mail.outbox.clear()
    MailedLink.objects.all().delete()
    stranger.post(url("password_reset"), {"email": asked})
    assert [message.to for message in mail.outbox] == [["ann@xn--exmple-cua.org"]]
    client.post(url("add_address"), {"address": asked})
    assert Address.objects.count() == 1


def test_domains_that_only_look_alike_are_two_addresses(client):
    sign_up(client, email="ann@strasse.de")
    client.post(links(mail.outbox[0].body)[0])
    assert list(email_addresses.users_by_address(["ann@strasse.de"])) == ["ann@strasse.de"]
    assert email_addresses.users_by_address(["ann@straße.de"]) == {}


def test_an_address_that_is_too_long_in_ascii_is_refused_beside_its_field(client):
    label = "ä重ж가" * 4
    answer = sign_up(client, email="a" * 64 + "@" + f"{label}." * 5 + "org")
    assert answer.status_code == 200 and 'id="id_email_error"' in answer.text
