"""Sign-in with a real provider: django-oauth-toolkit in a process of its own, over HTTP."""

from __future__ import annotations

import time
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from accounts import email_addresses
from accounts.openid import client as openid_client
from accounts.openid import identities as linked_identities
from accounts.second_factor import apps_with_codes, signing_in
from tmtp.models import Identity, Node, User
from tmtp.openid import tokens
from tmtp.services.people import devices, identities, users
from tmtp.services.people.linking import user_of

pytestmark = [pytest.mark.django_db, pytest.mark.once]

MEMBER = get_user_model()
START = reverse("accounts:start")
SIGN_IN = reverse("accounts:sign_in")
ACCOUNT = reverse("accounts:account")
BEGIN = reverse("accounts:openid_sign_in", args=["example-university"])
LINK = reverse("accounts:link", args=["example-university"])


@pytest.fixture(autouse=True)
def offered(provider, settings, monkeypatch):
    """Configure the site with the provider."""
    site = {"client_id": "web", "client_secret": "hush"}
    settings.TMTP = {**settings.TMTP, "OPENID": {"auth": 1, "authby": [provider.entry(site=site)]}}
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    openid_client.verifier.cache_clear()


@pytest.fixture
def stranger():
    return Client()


def come_back(client, provider, address, person="ann"):
    """Sign in at the provider, and return to the site."""
    back = provider.approve(address, person)
    assert back.startswith("http://testserver/")
    return client.get(back)


def sign_in(client, provider, person="ann", **query):
    return come_back(client, provider, client.get(BEGIN, query).url, person)


def sign_up(client, provider, person="ann", **form):
    """Sign in for the first time, which asks for a name."""
    page = client.get(sign_in(client, provider, person).url)
    assert f'value="{person}"' in page.text, "the provider's name is suggested"
    return client.post(reverse("accounts:openid_sign_up"), {"username": person, "email": "", **form})


def said(client, page=ACCOUNT):
    return client.get(page, follow=True).text


def member(client):
    pk = client.session.get("_auth_user_id")
    return MEMBER.objects.get(pk=pk) if pk else None


# sign up and sign in


def test_sign_up_then_sign_in(client, stranger, provider):
    assert sign_up(client, provider, email="ann@example.org").url == START
    ann = member(client)
    assert ann.username == "ann"
    assert not ann.has_usable_password()
    identity = Identity.objects.get()
    assert (identity.iss, identity.user.account) == (provider.iss, ann)
    assert sign_in(stranger, provider).url == START
    assert member(stranger) == ann
    assert MEMBER.objects.count() == 1


def test_what_is_asked_of_the_provider(client):
    sent = urlsplit(client.get(BEGIN).url)
    query = {name: value for name, [value] in parse_qs(sent.query).items()}
    assert query["response_type"] == "code"
    assert query["code_challenge_method"] == "S256"
    assert query["redirect_uri"] == f"http://testserver{BEGIN}callback/"
    assert query["client_id"] == "web"
    again = {name: value for name, [value] in parse_qs(urlsplit(client.get(BEGIN).url).query).items()}
    for name in ("state", "nonce", "code_challenge"):
        assert len(query[name]) >= 32
        assert query[name] != again[name]


def test_several_providers_are_offered(client, provider, settings):
    others = [{"label": "City Library", "site": {}}, {"label": "For devices alone"}, {"label": "Bücherei", "site": {}}]
    entries = [provider.entry(**other) for other in others]
    settings.TMTP = {**settings.TMTP, "OPENID": {"auth": 0, "authby": entries}}
    page = client.get(SIGN_IN, {"next": ACCOUNT}).text
    assert 'href="/sign-in/city-library/?next=%2Faccount%2F">Sign in with City Library</a>' in page
    assert 'href="/sign-in/bucherei/?next=%2Faccount%2F">Sign in with Bücherei</a>' in page
    assert "For devices alone" not in page
    assert "Sign up with City Library" in client.get(reverse("accounts:sign_up")).text


def test_two_people_of_a_provider_are_two_members(client, stranger, provider):
    sign_up(client, provider)
    sign_up(stranger, provider, "bob")
    assert [member(client).username, member(stranger).username] == ["ann", "bob"]


def test_nobody_is_matched_by_an_address(client, provider):
    """The provider says ann@university.example, but the member who has confirmed this address is somebody else."""
    ann = MEMBER.objects.create_user("ann-before", "ann@university.example", "x")
    email_addresses.confirm(email_addresses.add(ann, ann.email))
    sign_up(client, provider, email="ann@university.example")
    assert member(client) != ann
    assert email_addresses.users_by_address(["ann@university.example"]) == {"ann@university.example": ann}


def test_the_providers_word_confirms_no_address(client, provider, mailoutbox):
    sign_up(client, provider, email="ann@university.example")
    assert email_addresses.users_by_address(["ann@university.example"]) == {}
    assert mailoutbox[0].to == ["ann@university.example"]


def test_a_name_that_is_taken_is_said_beside_the_field(client, provider):
    MEMBER.objects.create_user("Ann")
    assert 'id="id_username_error"' in sign_up(client, provider).text
    assert member(client) is None


def test_on_to_where_one_wanted_to_go(client, stranger, provider):
    sign_up(client, provider)
    assert sign_in(stranger, provider, next=ACCOUNT).url == ACCOUNT


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_nobody_is_sent_elsewhere(client, stranger, provider, to):
    sign_up(client, provider)
    assert sign_in(stranger, provider, next=to).url == START


def test_a_second_factor_is_asked_for_after_the_provider_too(client, stranger, provider):
    sign_up(client, provider)
    secret = apps_with_codes.new_secret()
    apps_with_codes.add(MEMBER.objects.get(), secret, pyotp.TOTP(secret).now())
    answer = sign_in(stranger, provider, next="/devices/")
    assert answer.url == reverse("accounts:sign_in_code")
    assert member(stranger) is None
    assert stranger.post(answer.url, {"code": pyotp.TOTP(secret).at(time.time(), counter_offset=1)}).url == "/devices/"
    assert member(stranger) == MEMBER.objects.get()


def test_who_signs_in_with_a_provider_shows_with_it_who_they_are(client, provider):
    sign_up(client, provider)
    session = client.session
    session[signing_in.CONFIRMED] = 0
    session.save()
    page = reverse("accounts:app_add")
    asked = client.get(page, follow=True)
    assert f"{BEGIN}?next={page.replace('/', '%2F')}" in asked.text
    assert sign_in(client, provider, next=page).url == page
    assert client.get(page).status_code == 200


def test_an_account_that_is_switched_off(client, stranger, provider):
    sign_up(client, provider)
    MEMBER.objects.update(is_active=False)
    assert sign_in(stranger, provider).url == SIGN_IN
    assert "disabled" in said(stranger, SIGN_IN)
    assert member(stranger) is None


def test_keys_that_rotate(client, stranger, provider, monkeypatch):
    sign_up(client, provider)
    provider.rotate()
    monkeypatch.setattr(tokens, "KEYS_COOLDOWN", 0)
    assert sign_in(stranger, provider).url == START
    assert member(stranger) == member(client)


# sign-ins that are refused


def test_an_answer_is_good_once(client, provider):
    sign_up(client, provider)
    client.logout()
    back = provider.approve(client.get(BEGIN).url)
    assert client.get(back).url == START
    client.logout()
    assert client.get(back).url == SIGN_IN
    assert member(client) is None


def test_an_answer_is_for_the_browser_it_was_begun_in(client, stranger, provider):
    """Otherwise an attacker could sign someone in to the attacker's account, and read what they write."""
    sign_up(client, provider)
    back = provider.approve(client.get(BEGIN).url)
    assert stranger.get(back).url == SIGN_IN
    assert member(stranger) is None
    assert "failed" in said(stranger, SIGN_IN)


def test_an_answer_that_took_too_long(client, provider, monkeypatch):
    sign_up(client, provider)
    client.logout()
    monkeypatch.setattr("accounts.openid.views.STATE_LIFE", -1)
    assert sign_in(client, provider).url == SIGN_IN
    assert member(client) is None


@pytest.mark.parametrize("more", ["error=access_denied", "", "code=made-up"])
def test_an_answer_without_a_good_code(client, provider, more):
    state = parse_qs(urlsplit(client.get(BEGIN).url).query)["state"][0]
    assert client.get(f"{BEGIN}callback/?state={state}&{more}").url == SIGN_IN
    assert "failed" in said(client, SIGN_IN)
    assert not MEMBER.objects.exists()


def test_a_provider_that_does_not_answer(client, provider, settings):
    entry = provider.entry(token=["http://127.0.0.1:9/token", "x=y"], site={"client_id": "web"})
    settings.TMTP = {**settings.TMTP, "OPENID": {"auth": 1, "authby": [entry]}}
    assert sign_in(client, provider).url == SIGN_IN


def test_a_provider_that_is_not_offered(client):
    for name in ("openid_sign_in", "openid_callback"):
        assert client.get(reverse(f"accounts:{name}", args=["nobody"])).status_code == 404


def test_no_page_to_choose_a_name_without_a_provider(client):
    assert client.get(reverse("accounts:openid_sign_up")).url == SIGN_IN


# link and unlink


@pytest.fixture
def ann(client):
    ann = MEMBER.objects.create_user("ann-of-old", password="x")
    client.force_login(ann)
    return ann


def link(client, provider, person="ann"):
    return come_back(client, provider, client.post(LINK).url, person)


def test_link_and_sign_in_with_it(ann, client, stranger, provider):
    assert "Link Example University" in said(client)
    assert link(client, provider).url == ACCOUNT
    assert "You can now sign in with Example University." in said(client)
    sign_in(stranger, provider)
    assert member(stranger) == ann


def test_the_page_may_lead_to_the_provider_and_nowhere_else(ann, client, provider):
    assert f"form-action 'self' {provider.url}" in client.get(ACCOUNT)["Content-Security-Policy"]


def test_nobody_makes_a_member_link(ann, client):
    assert client.get(LINK).status_code == 405
    guarded = Client(enforce_csrf_checks=True)
    guarded.force_login(ann)
    assert guarded.post(LINK).status_code == 403


def test_a_link_is_for_the_member_who_began_it(ann, client, provider):
    back = provider.approve(client.post(LINK).url)
    session = client.session
    begun = session["oidc_states"]
    client.force_login(MEMBER.objects.create_user("eve"))
    session = client.session
    session["oidc_states"] = begun
    session.save()
    client.get(back)
    assert "signed out in the meantime" in said(client)
    assert not Identity.objects.exists()


def test_an_identity_is_one_members(ann, client, stranger, provider):
    sign_up(stranger, provider)
    link(client, provider)
    assert "That account is linked to another member" in said(client)
    assert linked_identities.identities_of(ann) == []


def test_signed_in_already_is_not_signed_up(ann, client, provider):
    assert sign_in(client, provider).url == ACCOUNT
    assert "already signed in" in said(client)
    assert MEMBER.objects.count() == 1


def test_unlink(ann, client, stranger, provider):
    link(client, provider)
    url = reverse("accounts:unlink", args=[Identity.objects.get().pk])
    assert "Unlink Example University?" in client.get(url).text
    assert client.post(url).url == ACCOUNT
    assert not Identity.objects.exists()
    assert sign_in(stranger, provider).url == reverse("accounts:openid_sign_up")


def test_nobody_locks_themselves_out(client, provider):
    sign_up(client, provider)
    url = reverse("accounts:unlink", args=[Identity.objects.get().pk])
    client.post(url)
    assert "only way to sign in" in said(client)
    assert Identity.objects.exists()
    link(client, provider, "bob")
    client.post(url)
    assert Identity.objects.count() == 1, "there was another one"
    client.post(reverse("accounts:unlink", args=[Identity.objects.get().pk]))
    assert Identity.objects.exists()


def test_an_identity_at_a_provider_no_longer_offered_lets_nobody_in(client, provider):
    sign_up(client, provider)
    linked_identities.link(member(client), "https://gone.example", "ann")
    client.post(reverse("accounts:unlink", args=[Identity.objects.get(iss=provider.iss).pk]))
    assert "only way to sign in" in said(client)


def test_others_identities_are_not_mine(ann, client, stranger, provider):
    sign_up(stranger, provider)
    assert client.post(reverse("accounts:unlink", args=[Identity.objects.get().pk])).status_code == 404


# members and devices


def register(provider, label="phone"):
    """Register a device, as op 1 does."""
    [entry] = openid_client.providers().values()
    claims = tokens.Verifier(tokens.OpenID(1, providers=(entry,))).verify(provider.device_token())
    return users.register(label, "_", openid_client.Shown(claims, {}).identity())


def test_a_device_that_came_first_is_the_members(client, provider):
    device = register(provider)
    sign_up(client, provider)
    assert User.objects.get(account=member(client)).pk == device.sender.user


def test_a_device_that_came_first_is_linked(ann, client, provider):
    user_of(ann)
    device = register(provider)
    link(client, provider)
    assert User.objects.get(account=ann).pk == device.sender.user


def test_a_device_that_came_first_to_a_member_who_has_one(ann, client, provider):
    devices.make_node(user_of(ann), "laptop")
    register(provider)
    link(client, provider)
    assert "as another user" in said(client)
    assert linked_identities.identities_of(ann) == []


def test_a_token_of_the_website_registers_no_device(client, provider):
    """It is for another client. Even for the same client, it would have been used already."""
    [entry] = openid_client.providers().values()
    seen = []
    original = openid_client.Redeemer.verify_token

    def note(self, token, **kwargs):
        seen.append(token)
        return original(self, token, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openid_client.Redeemer, "verify_token", note)
        sign_up(client, provider)
    with pytest.raises(tokens.OpenIDError, match="aud"):
        tokens.Verifier(tokens.OpenID(1, providers=(entry,))).verify(seen[0])
    shown = openid_client.Shown(openid_client.verifier(entry).verify(seen[0]), {})
    with pytest.raises(identities.AuthenticationRequired, match="used before"):
        users.register("phone", "_", shown.identity())
    assert not Node.objects.filter(kind=Node.Kind.DEVICE).exists()
