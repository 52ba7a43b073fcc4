"""The second factor: who is asked for it, codes that count once, limits, recovery codes, and what removes it."""

from __future__ import annotations

import re
import time

import pyotp
import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from fido2.webauthn import Aaguid, AttestedCredentialData

from accounts.models import AuthenticatorApp, Passkey, RecoveryCode, WrongCode
from accounts.second_factor import apps_with_codes, codes, passkeys, recovery_codes, signing_in
from tmtp.services.messages.mailbox import Received, messages_of
from tmtp.services.people.linking import user_of
from tmtp.services.people.placeholders import mailbox_of

pytestmark = [pytest.mark.django_db, pytest.mark.once]

PASSWORD = "correct horse battery"
USER = get_user_model()
KEY = bytes(AttestedCredentialData.create(Aaguid.NONE, b"x", {1: 2, 3: -7, -1: 1, -2: bytes(32), -3: bytes(32)}))


def url(name, *args):
    return reverse(f"accounts:{name}", args=args)


@pytest.fixture
def ann():
    return USER.objects.create_user("ann", password=PASSWORD)


@pytest.fixture
def secret(ann):
    """The secret of Ann's app, which has shown no code yet."""
    secret = apps_with_codes.new_secret()
    apps_with_codes.add(ann, secret, code(secret))
    AuthenticatorApp.objects.update(last_step=0)
    return secret


@pytest.fixture
def within_a_step():
    """Begin when the code that an app shows is the same for some seconds."""
    left = 30 - time.time() % 30
    if left < 5:
        time.sleep(left)


def code(secret, steps=0):
    return pyotp.TOTP(secret).at(time.time(), counter_offset=steps)


def wrong(secret):
    """Return a code that is none."""
    right = {code(secret, steps) for steps in range(-3, 4)}
    return next(text for text in map("{:06}".format, range(10)) if text not in right)


def first_step(client, **more):
    return client.post(url("sign_in"), {"username": "ann", "password": PASSWORD, **more})


def is_in(client):
    return "_auth_user_id" in client.session


def told(user):
    """Return the subjects of the site's messages to a member."""
    return [Received(message).subject for message in messages_of(mailbox_of(user_of(user)))]


def add_app(client):
    """Add an app on the page. Return its secret and the response."""
    page = client.get(url("app_add")).text
    secret = re.search(r'<code id="secret">([A-Z2-7 ]+)</code>', page)[1].replace(" ", "")
    return secret, client.post(url("app_add"), {"code": code(secret)})


# sign in


def test_without_a_second_factor_the_password_is_enough(client, ann):
    assert first_step(client).url == url("start")
    assert is_in(client)


def test_the_password_alone_signs_nobody_in_who_has_one(client, ann, secret):
    answer = first_step(client, next="/devices/")
    assert answer.url == url("sign_in_code")
    assert not is_in(client)
    for page in ("/mailbox/", "/devices/", "/admin/", url("account"), url("second_factor"), url("reauthenticate")):
        assert client.get(page).status_code == 302, "no page takes the first step for the whole"
    answer = client.post(answer.url, {"code": code(secret)})
    assert answer.url == "/devices/"
    assert is_in(client)


def test_the_step_between_cannot_be_skipped(client, ann, secret):
    """Nor done for somebody else, nor late, nor after the password has changed."""
    assert client.get(url("sign_in_code")).url == url("sign_in")
    assert client.post(url("sign_in_code"), {"code": code(secret)}).url == url("sign_in")
    for change in ({"at": 0}, {"hash": "another"}, {"user": "0"}):
        first_step(client)
        session = client.session
        session[signing_in.PENDING] = {**session[signing_in.PENDING], **change}
        session.save()
        assert client.post(url("sign_in_code"), {"code": code(secret)}).url == url("sign_in")
    first_step(client)
    USER.objects.update(is_active=False)
    assert client.post(url("sign_in_code"), {"code": code(secret)}).url == url("sign_in")
    assert not is_in(client)


def test_the_admin_has_no_way_around_it(client, ann, secret):
    USER.objects.update(is_staff=True)
    page = client.get("/admin/", follow=True)
    assert page.redirect_chain[-1][0] == f"{url('sign_in')}?next=/admin/"
    client.post("/admin/login/", {"username": "ann", "password": PASSWORD})
    assert not is_in(client)
    client.force_login(USER.objects.create_user("bob"))
    assert client.get("/admin/", follow=True).status_code == 403
    client.post("/admin/login/", {"username": "ann", "password": PASSWORD})
    assert client.session["_auth_user_id"] != str(ann.pk)


def test_the_page_does_not_tell_which_names_exist(client, ann, secret):
    """Whoever does not know the password learns nothing, neither of names nor of second factors."""
    USER.objects.create_user("bob", password=PASSWORD)
    pages = {
        client.post(url("sign_in"), {"username": name, "password": "guess"}).text for name in ("ann", "bob", "no")
    }
    shown = {re.sub(r'value="[^"]*"', "", page) for page in pages}
    assert len(shown) == 1


# codes


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_a_code_counts_a_step_earlier_and_later_but_once(client, ann, secret, steps, within_a_step):
    text = code(secret, steps)
    assert apps_with_codes.accept(ann, f" {text[:3]} {text[3:]}")
    assert not apps_with_codes.accept(ann, text)
    first_step(client)
    assert "wrong or was used before" in client.post(url("sign_in_code"), {"code": text}).text
    assert not is_in(client)


def test_earlier_codes_are_void_once_a_later_one_was_used(ann, secret):
    assert apps_with_codes.accept(ann, code(secret, 1))
    assert not apps_with_codes.accept(ann, code(secret, 0))


def test_the_first_code_of_an_app_cannot_be_used_again(client, ann, within_a_step):
    client.force_login(ann)
    secret, _answer = add_app(client)
    assert not apps_with_codes.accept(ann, code(secret))


@pytest.mark.parametrize(
    "text", ["", "1", "12345", "1234567", "abcdef", "\u0661\u0662\u0663\u0664\u0665\u0666", "-12345", "\x00"]
)
def test_what_is_no_code_is_refused(client, ann, secret, text):
    first_step(client)
    assert client.post(url("sign_in_code"), {"code": text}).status_code == 200
    assert not is_in(client)


def test_wrong_codes_are_limited_for_the_member_over_all_sessions(ann, secret):
    for _ in range(codes.AN_HOUR):
        browser = Client()
        first_step(browser)
        assert "The code is wrong" in browser.post(url("sign_in_code"), {"code": wrong(secret)}).text
    browser = Client()
    first_step(browser)
    assert "Too many wrong codes" in browser.post(url("sign_in_code"), {"code": code(secret)}).text
    assert told(ann).count("Wrong codes at sign-in") == 1
    WrongCode.objects.update(entered=timezone.now() - timezone.timedelta(minutes=61))
    assert browser.post(url("sign_in_code"), {"code": code(secret)}).status_code == 302
    assert is_in(browser)


def test_wrong_codes_of_a_day_are_limited(ann, secret):
    WrongCode.objects.bulk_create(WrongCode(user=ann) for _ in range(codes.A_DAY))
    WrongCode.objects.update(entered=timezone.now() - timezone.timedelta(hours=23))
    with pytest.raises(codes.Refused) as refused:
        codes.check(ann, code(secret))
    assert refused.value.code == "codes_too_many"
    WrongCode.objects.update(entered=timezone.now() - timezone.timedelta(hours=25))
    codes.check(ann, code(secret))


# recovery codes


def test_a_recovery_code_works_once_however_it_is_typed(client, ann, secret):
    made = recovery_codes.make(ann)
    assert len(set(made)) == recovery_codes.COUNT
    for text in (made[0], made[1].upper(), made[2].replace("-", " "), f" {made[3].replace('-', '')} "):
        browser = Client()
        first_step(browser)
        assert browser.post(url("sign_in_code"), {"code": text}).status_code == 302
        first_step(client)
        client.post(url("sign_in_code"), {"code": text})
        assert not is_in(client)
    assert ann.recovery_codes.count() == recovery_codes.COUNT - 4
    assert told(ann) == ["A recovery code was used"] * 4


def test_recovery_codes_are_stored_as_hashes_and_are_the_members_own(ann):
    made = recovery_codes.make(ann)
    stored = " ".join(RecoveryCode.objects.values_list("digest", flat=True))
    assert not any(text in stored or text.replace("-", "") in stored for text in made)
    assert not recovery_codes.spend(USER.objects.create_user("bob"), made[0])
    recovery_codes.make(ann)
    assert not recovery_codes.spend(ann, made[0])


def test_the_secret_of_an_app_is_not_in_the_database(ann, secret):
    assert secret not in AuthenticatorApp.objects.get().secret


# add and remove


def test_the_first_factor_brings_recovery_codes_and_ends_other_sessions(client, ann):
    other = Client()
    for browser in (client, other):
        first_step(browser)
    secret, answer = add_app(client)
    made = re.findall(r"[a-z2-7]{4}(?:-[a-z2-7]{4}){3}", answer.text)
    assert len(made) == recovery_codes.COUNT
    assert told(ann) == ["Your second factor: Authenticator app was added"]
    assert client.get(url("account")).status_code == 200
    assert other.get(url("account")).status_code == 302
    first_step(other)
    assert other.post(url("sign_in_code"), {"code": made[0]}).status_code == 302
    assert secret not in client.get(url("second_factor")).text


def test_an_app_is_added_with_a_right_code_only(client, ann):
    client.force_login(ann)
    page = client.get(url("app_add")).text
    secret = re.search(r'<code id="secret">([A-Z2-7 ]+)</code>', page)[1].replace(" ", "")
    again = client.post(url("app_add"), {"code": wrong(secret)})
    assert "Wrong code. Check" in again.text
    assert not AuthenticatorApp.objects.exists()
    assert re.search(r'<code id="secret">([A-Z2-7 ]+)</code>', again.text)[1].replace(" ", "") == secret


@pytest.mark.parametrize(
    "name", ["app_add", "app_remove", "passkey_add", "recovery_codes_new", "passkey_remove"], ids=str
)
def test_changes_need_a_member_who_has_just_shown_who_they_are(client, ann, secret, name):
    """A stolen session is not enough. Neither is the password, for who has a second factor."""
    client.force_login(ann)
    made = Passkey.objects.create(user=ann, name="key", credential_id="x", credential=KEY)
    session = client.session
    session[signing_in.CONFIRMED] = time.time() - signing_in.RECENT - 1
    session.save()
    page = url(name, *([made.pk] if name == "passkey_remove" else []))
    for answer in (client.get(page), client.post(page)):
        assert answer.url == f"{url('reauthenticate')}?next={page.replace('/', '%2F')}"
    client.post(answer.url, {"password": PASSWORD, "next": page})
    assert client.get(page).status_code == 302
    assert client.post(answer.url, {"code": wrong(secret), "next": page}).status_code == 200
    assert client.post(answer.url, {"code": code(secret), "next": page}).url == page
    assert client.get(page, headers={"host": "localhost"}).status_code == 200


@pytest.mark.parametrize("name", ["add_address", "link"])
def test_other_ways_into_the_account_need_that_too(client, ann, name):
    client.force_login(ann)
    session = client.session
    session[signing_in.CONFIRMED] = 0
    session.save()
    page = url(name, *(["example-university"] if name == "link" else []))
    answer = client.post(page, {"address": "thief@example.org"})
    assert answer.url == f"{url('reauthenticate')}?next=%2Faccount%2F"
    assert not ann.addresses.exists()


def test_a_first_password_needs_that_too(client, ann):
    ann.set_unusable_password()
    ann.save()
    client.force_login(ann)
    assert client.get(url("password_change")).status_code == 200
    session = client.session
    session[signing_in.CONFIRMED] = 0
    session.save()
    form = {"new_password1": "another horse battery"}
    assert client.post(url("password_change"), form).url.startswith(url("reauthenticate"))
    assert "no provider that still exists" in client.get(url("reauthenticate")).text


def test_without_a_factor_the_password_shows_who_one_is(client, ann):
    client.force_login(ann)
    session = client.session
    session[signing_in.CONFIRMED] = 0
    session.save()
    page = f"{url('reauthenticate')}?next={url('app_add')}"
    assert "Wrong password" in client.post(page, {"password": "guess"}).text
    assert client.post(page, {"password": PASSWORD, "next": "https://evil.example/"}).url == url("second_factor")
    assert client.get(url("app_add")).status_code == 200


def test_a_removed_factor_is_asked_for_no_more(client, ann):
    client.force_login(ann)
    add_app(client)
    assert "You will no longer be able to sign in with it" in client.get(url("app_remove")).text
    client.post(url("app_remove"))
    assert told(ann)[-1] == "Your second factor: Authenticator app was removed"
    assert not RecoveryCode.objects.exists()
    assert first_step(Client()).url == url("start")


def test_staff_keep_a_second_factor(client, ann, settings):
    settings.ACCOUNTS_SECOND_FACTOR = "staff"
    USER.objects.update(is_staff=True)
    client.force_login(ann)
    add_app(client)
    page = client.post(url("app_remove"), follow=True)
    assert "Add another one before you remove this one" in page.text
    assert AuthenticatorApp.objects.exists()


@pytest.mark.parametrize(
    ("who", "flags", "must"),
    [
        ("staff", {"is_staff": True}, True),
        ("staff", {"is_superuser": True}, True),
        ("staff", {}, False),
        ("everyone", {}, True),
        ("nobody", {"is_staff": True}, False),
    ],
)
def test_who_must_have_one_gets_no_further_without(client, ann, settings, who, flags, must):
    settings.ACCOUNTS_SECOND_FACTOR = who
    USER.objects.update(**flags)
    first_step(client)
    answer = client.get("/mailbox/")
    assert (answer.get("Location") == url("second_factor")) == must
    if must:
        assert client.post(url("sessions_end")).url == url("second_factor")
        assert "This site requires one" in client.get(url("second_factor")).text
        add_app(client)
        assert client.get("/mailbox/").status_code == 200


def test_the_people_who_run_the_site_help_whoever_has_lost_everything(admin_client, ann, secret):
    recovery_codes.make(ann)
    data = {"action": "remove_second_factor", "_selected_action": [ann.pk]}
    page = admin_client.post(reverse("admin:auth_user_changelist"), data, follow=True)
    assert "1 member had one." in page.text
    assert not (AuthenticatorApp.objects.exists() or RecoveryCode.objects.exists())
    assert told(ann) == ["Your second factor was removed"]


def test_the_command_does_too(ann, secret, capsys):
    call_command("remove_second_factor", "ANN")
    assert "is removed" in capsys.readouterr().out
    for name in ("ann", "nobody"):
        with pytest.raises(CommandError):
            call_command("remove_second_factor", name)


# passkeys: what a browser does is in test_passkeys.py


def test_hosts_without_a_name_offer_no_passkeys(client, settings):
    settings.ALLOWED_HOSTS = ["*"]
    for host, possible in [("127.0.0.1:8000", False), ("[::1]:8000", False), ("localhost:8000", True), ("a.b", True)]:
        page = client.get(url("sign_in"), headers={"host": host})
        assert (url("sign_in_passkey") in page.text) == possible
        assert client.get(url("sign_in_passkey"), headers={"host": host}).status_code == (200 if possible else 302)


GARBAGE = [
    "",
    "{",
    "[]",
    "null",
    "1",
    '"x"',
    "{}",
    '{"id": 1}',
    '{"id": "x"}',
    '{"id": "x", "rawId": "x", "response": {}}',
]


@pytest.mark.parametrize("text", GARBAGE)
def test_what_is_no_answer_of_a_browser_is_refused(client, ann, text):
    Passkey.objects.create(user=ann, name="key", credential_id="x", credential=KEY)
    page = url("sign_in_passkey")
    assert client.get(page).status_code == 200
    assert "is not valid here" in client.post(page, {"answer": text}).text
    assert not is_in(client)
    client.force_login(ann)
    Passkey.objects.all().delete()
    client.get(url("passkey_add"))
    answer = client.post(url("passkey_add"), {"answer": text or " ", "name": "key"})
    assert answer.status_code == 200
    assert not Passkey.objects.exists()


def test_an_answer_without_a_question_or_too_late_is_refused(client, ann):
    page = url("sign_in_passkey")
    assert "has expired" in client.post(page, {"answer": "{}"}).text
    session = client.session
    session[passkeys.STATES]["alone"]["begun"] -= passkeys.LIFE + 1
    session.save()
    assert "has expired" in client.post(page, {"answer": "{}"}).text
