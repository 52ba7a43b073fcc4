"""System checks of TMTP_DELIVERY."""

from __future__ import annotations

import pytest
from django.test import override_settings

from tmtp.delivery import checks
from tmtp.delivery.checks import check_options, check_workers
from tmtp.delivery.conf import conf
from tmtp.delivery.tests.mailers import use_backend

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ({}, []),
        ([], ["E001"]),
        ({"CLAIM_FORE": 1}, ["E002"]),
        ({"CLAIM_FOR": 0}, ["E003"]),
        ({"CLAIM_FOR": True}, ["E003"]),
        ({"SITE_URL": "example.org"}, ["E003"]),
        ({"SITE_URL": "https://example.org/club"}, []),
        ({"EMAIL_ADDRESSES": None}, ["E003"]),
        ({"EMAIL_ADDRESSES": "tmtp.delivery.nowhere"}, ["E004"]),
        ({"EMAIL_ADDRESSES": "tmtp.delivery.email_addresses"}, []),
        ({"EMAIL_ADDRESSES": "tmtp.delivery.conf"}, ["E004"]),
        ({"EMAIL_ROUTE": "mesage"}, ["E003"]),
        ({"EMAIL_ROUTE": "Message"}, []),
        ({"SIGN_IN_VIEWS": "login"}, ["E003"]),
        ({"SIGN_IN_VIEWS": ["login"]}, []),
        ({"FALLBACK_EMAIL_BACKEND": "tmtp.delivery.email.EmailBackend"}, ["E003"]),
        ({"HANDLER": None}, []),
        ({"HANDLER": "tmtp.delivery.tasks.heartbeat"}, []),
        ({"HANDLER": "tmtp.delivery.tasks.nothing"}, ["E004"]),
        ({"HANDLER": "tmtp.delivery.tasks"}, ["E004"]),
        ({"HANDLER_TRIES": 0}, ["E003"]),
        ({"HANDLER_BACKOFF": "1"}, ["E003"]),
        ({"FALLBACK_EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}, []),
    ],
)
def test_options(value, ids):
    with override_settings(TMTP_DELIVERY=value):
        assert [found.id for found in check_options()] == [f"tmtp_delivery.{id}" for id in ids]


def test_what_is_no_dict_has_the_defaults_so_that_checks_can_say_so(settings):
    settings.TMTP_DELIVERY = None
    assert conf.CLAIM_FOR == 60
    assert [found.id for found in check_options() + checks.check_notices()] == ["tmtp_delivery.E001"]


def test_the_hint_names_the_nearest_key():
    with override_settings(TMTP_DELIVERY={"CLAIM_FORE": 1}):
        (found,) = check_options()
    assert found.hint == "Did you mean “CLAIM_FOR”?"


def test_somebody_must_know_whose_address_is_whose(settings):
    use_backend(settings, "tmtp.delivery.email.EmailBackend")
    settings.TMTP_DELIVERY = {"EMAIL_ADDRESSES": "tmtp.delivery.tests.test_email.Verified"}
    assert checks.check_email() == []
    settings.TMTP_DELIVERY = {}
    assert [found.id for found in checks.check_email()] == ["tmtp_delivery.W001"]


def test_django_q2_is_needed(settings):
    assert check_workers() == []
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "django_q"]
    assert [found.id for found in check_workers()] == ["tmtp_delivery.E005"]
