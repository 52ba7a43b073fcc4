"""A member's device gets a token from the site itself, and becomes a device of this member."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from oauth2_provider.models import AccessToken, Grant, IDToken, RefreshToken

from accounts.provider.conf import CLIENT_ID
from tmtp.models import Identity, Node, User
from tmtp.services.people import identities, users
from tmtp.services.people.linking import user_of
from tmtp.services.queue import leases

from .conftest import OPENID, Visit

pytestmark = pytest.mark.once

ISS = "https://testserver/openid"


def register(claims):
    return users.register("phone", "_", shown(claims)).sender


def shown(claims):
    return identities.IdentityShown(claims.iss, claims.sub, claims.token_hash, datetime.fromtimestamp(claims.exp, UTC))


def changed(url, **parameters):
    """Return the address with some parameters changed, and without those that are None."""
    parts = urlsplit(url)
    query = {name: value for name, (value,) in parse_qs(parts.query).items()} | parameters
    query = {name: value for name, value in query.items() if value is not None}
    return parts._replace(query=urlencode(query)).geturl()


def refused(answer, error="invalid_grant"):
    return (answer.status_code, answer.json()["error"]) == (400, error) and not Identity.objects.exists()


def jwt_of(answer):
    return jwt.decode(answer.json()["id_token"], options={"verify_signature": False})


# a device is connected


def test_a_device_joins_the_members_own_user(visit, ann, verifier):
    answer = visit.redeem()
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    told = answer.json()
    assert told.keys() == {"access_token", "expires_in", "id_token", "scope", "token_type"}
    claims = verifier.verify(told["id_token"])
    assert (claims.iss, claims.sub) == (ISS, str(ann.pk))
    assert claims.exp - claims.iat == told["expires_in"] == 900
    assert register(claims).user == user_of(ann).pk
    assert Node.objects.get().user.account == ann


def test_a_member_who_has_devices_already_stays_one_user(visit, ann, verifier):
    user, _ = user_of(ann), visit.redeem()
    first, second = (register(verifier.verify(visit.redeem().json()["id_token"])) for _ in range(2))
    assert first.user == second.user == user.pk
    assert User.objects.filter(account=ann).count() == Identity.objects.count() == 1


def test_two_members_are_two(visit, ann, verifier):
    bob = get_user_model().objects.create_user("bob")
    other = Visit(Client())
    other.client.force_login(bob)
    senders = [register(verifier.verify(one.redeem().json()["id_token"])).user for one in (visit, other)]
    assert senders == [user_of(ann).pk, user_of(bob).pk]


def test_a_member_who_became_another_user_is_that_one(visit, ann):
    """An administrator can link another user to the member."""
    visit.redeem()
    old, new = User.objects.get(account=ann), User.objects.create(uid="B" * 32)
    User.objects.filter(pk=old.pk).update(account=None)
    User.objects.filter(pk=new.pk).update(account=ann)
    visit.redeem()
    assert Identity.objects.get().user == new


def test_the_account_page_does_not_call_the_site_a_linked_provider(visit):
    visit.redeem()
    assert Identity.objects.get().iss == ISS
    assert ISS not in visit.client.get(reverse("accounts:account")).text


def test_a_device_that_must_show_its_identity_again_to_log_in(visit, verifier):
    """With `auth` 2, it needs a token of its own member, which is good once."""
    tokens = [verifier.verify(visit.redeem().json()["id_token"]) for _ in range(2)]
    new = users.register("phone", "_", shown(tokens[0]))
    Node.objects.update(verified=timezone.now() - timedelta(days=31))
    lease = leases.take("127.0.0.1:1").pk
    with pytest.raises(identities.AuthenticationRequired):
        users.log_in(new.sender.uid, new.nodeid, lease, identity_needed=True)
    for token, error in ((tokens[0], identities.AuthenticationRequired), (tokens[1], None)):
        with pytest.raises(error) if error else nullcontext():
            users.log_in(new.sender.uid, new.nodeid, lease, shown(token), identity_needed=True)


# the page


def test_the_page_says_to_whose_account(visit):
    page = visit.asked()
    assert page.status_code == 200
    assert "Connect a device to your account Ann of &lt;Rome&gt; &amp; Co?" in page.text
    assert "form-action 'self' http://localhost:8123" in page["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"]
    assert "no-store" in page["Cache-Control"]
    assert not Grant.objects.exists()


def test_who_is_not_signed_in_is_asked_to_and_comes_back(visit, settings):
    settings.LOGIN_URL = "/sign-in"
    visit.client.logout()
    there = visit.device.login.removeprefix("https://testserver")
    assert visit.asked()["Location"] == f"/sign-in?{urlencode({'next': there}, safe='/')}"


def test_who_cancels_connects_nothing(visit):
    told = visit.device.called_back(visit.answer(visit.asked())["Location"])
    assert told["error"] == "access_denied"
    assert not Grant.objects.exists()


@pytest.mark.parametrize("trick", [{"approval_prompt": "auto"}, {"max_age": "99"}, {"prompt": "consent"}])
def test_a_member_is_asked_each_time(visit, trick):
    visit.redeem()
    assert "Connect a device" in visit.asked(changed(visit.device.login, **trick)).text


@pytest.mark.parametrize("signed_in", [True, False])
def test_a_program_that_wants_no_questions_gets_nothing(visit, signed_in):
    if not signed_in:
        visit.client.logout()
    answer = visit.asked(changed(visit.device.login, prompt="none"))
    assert visit.device.called_back(answer["Location"])["error"] == "consent_required"


def test_another_site_cannot_answer_for_the_member(visit, ann):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ann)
    page = visit.asked()
    visit.client = strict
    assert visit.answer(page, allow="1").status_code == 403
    assert not Grant.objects.exists()


# requests that the page refuses


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/u",
        "http://evil.example:8123/u",
        "http://localhost:8124/u",
        "http://localhost:8123/other",
        "http://localhost:8123@evil.example/u",
        "http://localhost.evil.example:8123/u",
        "http://localhost:8123/u?next=1",
        "http://localhost:8123/u#",
        "https://localhost:8123/u",
        "javascript:alert(1)",
        "http://localhost:99999/u",
        "http://[::1",
        "",
        "\0",
        "x" * 5000,
    ],
)
def test_codes_go_nowhere_but_to_the_members_own_computer(visit, url):
    answer = visit.asked(changed(visit.device.login, redirect_uri=url))
    assert answer.status_code == 400
    assert "This device cannot be connected" in answer.text
    answer = visit.answer(visit.asked(), allow="1", redirect_uri=url)
    assert (answer.status_code, answer.get("Location")) == (400, None)
    assert not Grant.objects.exists()


@pytest.mark.parametrize("url", ["http://127.0.0.1:49152/u", "http://localhost:8123/u/"])
def test_a_program_may_listen_elsewhere_on_the_same_computer(visit, url):
    visit.device.login = changed(visit.device.login, redirect_uri=url)
    assert visit.answer(visit.asked(), allow="1")["Location"].startswith(f"{url}?code=")


@pytest.mark.parametrize(
    "parameters",
    [
        {"client_id": "other"},
        {"client_id": None},
        {"client_id": "\0"},
        {"client_id": "x" * 300},
        {"nonce": "x" * 256},
        {"nonce": "\0"},
        {"state": "\0"},
        {"code_challenge": "x" * 129},
    ],
)
def test_what_no_device_says_gets_a_page_that_says_so(visit, parameters):
    answer = visit.asked(changed(visit.device.login, **parameters))
    assert answer.status_code == 400
    assert "This device cannot be connected" in answer.text


@pytest.mark.parametrize("changed", [{"client_id": "other"}, {"client_id": ""}, {"scope": ""}, {"nonce": "\0"}])
def test_a_form_that_was_changed_connects_nothing(visit, changed):
    answer = visit.answer(visit.asked(), allow="1", **changed)
    assert answer.status_code == 400
    assert "This device cannot be connected" in answer.text
    assert not Grant.objects.exists()


@pytest.mark.parametrize("claims", ["5", "[]", "{}"])
def test_wishes_for_claims_are_not_granted(visit, claims, verifier):
    visit.device.login = changed(visit.device.login, claims=claims)
    assert set(jwt_of(visit.redeem())) == {"iss", "aud", "sub", "iat", "exp", "auth_time", "jti", "at_hash"}


@pytest.mark.parametrize(
    "tail", ["&state=%ff", "&x=%zz", "&scope=openid", "&claims=x", "&claims=[]", "&=", "&\u00e9=1", "&x=\\"]
)
def test_garbage_is_no_failure(visit, tail):
    assert visit.asked(visit.device.login + tail).status_code in (200, 302, 400)


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"response_type": "token"}, "unauthorized_client"),
        ({"response_type": "id_token", "nonce": "1"}, "unauthorized_client"),
        ({"response_type": "code id_token", "nonce": "1"}, "unauthorized_client"),
        ({"response_type": None}, "invalid_request"),
        ({"scope": "openid read"}, "invalid_scope"),
    ],
)
def test_a_device_is_told_what_is_wrong(visit, parameters, error):
    answer = visit.asked(changed(visit.device.login, **parameters))
    location = answer["Location"]
    assert location.startswith("http://localhost:8123/u")
    assert f"error={error}" in location


def test_a_challenge_is_a_digest(visit):
    """With the PKCE method "plain", anyone who sees the address would know the verifier."""
    page = visit.asked(changed(visit.device.login, code_challenge_method="plain"))
    answer = visit.answer(page, allow="1") if page.status_code == 200 else page
    assert visit.device.called_back(answer["Location"])["error"] == "invalid_request"
    assert not Grant.objects.exists()


# codes that are not redeemed


def test_a_code_is_good_for_its_verifier_alone(visit, another):
    code = visit.code()
    assert refused(another().redeem(code))
    assert refused(visit.redeem(body=visit.device.redeem(code).rpartition("&")[0]), "invalid_request")
    assert visit.redeem(code).status_code == 200


def test_a_code_is_good_once(visit):
    code = visit.code()
    assert visit.redeem(code).status_code == 200
    Identity.objects.all().delete()
    assert refused(visit.redeem(code))


def test_a_code_is_good_for_a_minute(visit):
    code = visit.code()
    left = Grant.objects.get().expires - timezone.now()
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)
    Grant.objects.update(expires=timezone.now() - timedelta(seconds=1))
    assert refused(visit.redeem(code))


def test_a_code_is_for_where_it_was_sent(visit):
    body = visit.device.redeem(visit.code()).replace("8123%2Fu", "8123%2Fu%2F")
    assert refused(visit.redeem(body=body), "invalid_request")


def test_a_member_who_was_deactivated_gets_no_token(visit, ann):
    code = visit.code()
    get_user_model().objects.filter(pk=ann.pk).update(is_active=False)
    assert refused(visit.redeem(code))


@pytest.mark.parametrize("code", ["", "x", "%00", "%ff", "x" * 300])
def test_a_code_that_is_none(visit, code):
    answer = visit.redeem(body=visit.device.redeem(code))
    assert answer.status_code == 400
    assert answer.json()["error"] in ("invalid_grant", "invalid_request")


@pytest.mark.parametrize(
    "grant",
    ["", "refresh_token", "password", "client_credentials", "urn:ietf:params:oauth:grant-type:device_code"],
)
def test_codes_are_all_that_is_taken(visit, grant):
    body = urlencode({"grant_type": grant, "client_id": CLIENT_ID, "username": "ann", "password": "x"})
    assert refused(visit.redeem(body=body), "unsupported_grant_type")


# what the database keeps


def test_nothing_that_is_over_is_kept(visit):
    visit.redeem()
    visit.code()
    assert not RefreshToken.objects.exists()
    assert AccessToken.objects.get().token == ""  # only its hash
    past = timezone.now() - timedelta(seconds=1)
    for model in (Grant, AccessToken, IDToken):
        model.objects.update(expires=past)
    visit.redeem()
    assert [model.objects.count() for model in (Grant, AccessToken, IDToken)] == [0, 1, 1]


# public documents


def test_discovery_and_keys_are_what_the_service_has(client):
    found = client.get(f"{ISS}/.well-known/openid-configuration").json()
    own = OPENID["authby"][0]
    assert found["issuer"] == own["iss"]
    assert found["authorization_endpoint"] == own["login"][0]
    assert found["token_endpoint"] == own["token"][0]
    assert client.get(found["jwks_uri"]).json() == own["keys"]
    assert found["response_types_supported"] == ["code"]
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["id_token_signing_alg_values_supported"] == ["RS256"]
    assert found["token_endpoint_auth_methods_supported"] == ["none"]


def test_an_access_token_opens_nothing(visit):
    """The toolkit issues one, as the protocol asks for, but no URL accepts it."""
    token = visit.redeem().json()["access_token"]
    visit.client.logout()
    assert visit.client.get("/openid/userinfo/", headers={"authorization": f"Bearer {token}"}).status_code == 404


def test_the_admin_has_nothing_of_it_to_change(client, admin_user):
    client.force_login(admin_user)
    assert "oauth2_provider" not in client.get(reverse("admin:index")).text
