"""Mail is sent even if the database does not answer, in a broken transaction, and from async code."""

from __future__ import annotations

import asyncio
import logging
import smtplib
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core import mail
from django.core.mail import EmailMessage, mail_admins, send_mail
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from django.utils.log import AdminEmailHandler

from tmtp.delivery.tests.mailers import administrators, use_backend
from tmtp.delivery.tests.outage import database_outage
from tmtp.delivery.tests.test_email import configure, mailed, member, received

pytestmark = pytest.mark.django_db(transaction=True)
ROUTES = ["both", "message"]


@pytest.fixture(autouse=True, params=ROUTES)
def route(request: pytest.FixtureRequest, settings: Any) -> str:
    use_backend(settings, "tmtp.delivery.email.EmailBackend")
    configure(settings, EMAIL_ROUTE=request.param)
    settings.ADMINS = administrators("ann@example.org")
    member("ann")
    route: str = request.param
    return route


@pytest.fixture
def errors_are_mailed() -> Iterator[None]:
    """Errors of anything are mailed to the admins, as a site's LOGGING may say."""
    handler = AdminEmailHandler()
    handler.setLevel(logging.ERROR)
    loggers = [logging.getLogger(name) for name in ("tmtp.delivery", "django.request", "shop")]
    for logger in loggers:
        logger.addHandler(handler)
    yield
    for logger in loggers:
        logger.removeHandler(handler)


# the database is not available


@pytest.mark.filterwarnings("ignore:The 'fail_silently' argument is deprecated")  # as long as Django has it
@pytest.mark.parametrize("fail_silently", [True, False])
def test_mail_leaves_without_a_database(fail_silently: bool) -> None:
    with database_outage():
        assert send_mail("Hello", "Ann", None, ["ann@example.org"], fail_silently=fail_silently) == 1
    assert mailed() == [["ann@example.org"]]


@pytest.mark.usefixtures("errors_are_mailed")
def test_mail_about_the_outage_leaves() -> None:
    with database_outage():
        logging.getLogger("shop").error("the database is away")
    subjects = [message.subject for message in mail.outbox]
    assert any("the database is away" in subject for subject in subjects)
    assert len(subjects) < 4, "a report of a report of a report …"


def test_without_database_and_without_mail_server_the_caller_is_told(settings: Any) -> None:
    configure(settings, FALLBACK_EMAIL_BACKEND="tmtp.delivery.tests.test_email.Broken")
    with database_outage(), pytest.raises(smtplib.SMTPServerDisconnected):
        send_mail("Hello", "Ann", None, ["ann@example.org"])


class Lost:
    """A book of addresses that raises an error."""

    @staticmethod
    def users_by_address(addresses: Any) -> dict[str, Any]:
        raise ConnectionError("the directory is away")

    @staticmethod
    def address_by_user(users: Any) -> dict[Any, str]:
        raise ConnectionError("the directory is away")


def test_addresses_that_cannot_be_looked_up(settings: Any, route: str) -> None:
    configure(settings, EMAIL_ROUTE=route, EMAIL_ADDRESSES=f"{__name__}.Lost")
    assert send_mail("Hello", "Ann", None, ["ann@example.org"]) == 1
    assert mailed() == [["ann@example.org"]]


def test_urls_that_cannot_be_read(settings: Any) -> None:
    """The mail about an error in the site's URL patterns is not lost because of it."""
    settings.ROOT_URLCONF = "tmtp.delivery.tests.no_such_module"
    assert send_mail("Hello", "See https://example.org/x", None, ["ann@example.org"]) == 1
    assert mailed() == [["ann@example.org"]]


# the transaction is broken


@pytest.mark.filterwarnings("ignore:The 'fail_silently' argument is deprecated")  # as long as Django has it
@pytest.mark.parametrize("fail_silently", [True, False])
def test_mail_leaves_in_a_broken_transaction(fail_silently: bool) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        try:
            with transaction.atomic(savepoint=False):
                raise IntegrityError("twice")
        except IntegrityError:
            assert send_mail("Hello", "Ann", None, ["ann@example.org"], fail_silently=fail_silently) == 1
            raise
    assert mailed() == [["ann@example.org"]] and not received()


def test_mail_leaves_when_the_connection_breaks_in_a_transaction() -> None:
    try:
        with transaction.atomic():
            connection.connection.close()
            assert send_mail("Hello", "Ann", None, ["ann@example.org"]) == 1
    except DatabaseError:
        pass  # the transaction cannot commit
    connection.close()
    assert mailed() == [["ann@example.org"]] and not received()


def test_what_fails_in_the_look_up_does_not_break_the_callers_transaction(settings: Any, route: str) -> None:
    configure(settings, EMAIL_ROUTE=route, EMAIL_ADDRESSES=f"{__name__}.Wrong")
    with transaction.atomic():
        assert send_mail("Hello", "Ann", None, ["ann@example.org"]) == 1
        assert not received()
    assert mailed() == [["ann@example.org"]]


class Wrong(Lost):
    """A book of addresses whose SQL is wrong."""

    @staticmethod
    def users_by_address(addresses: Any) -> dict[str, Any]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")
        return {}


# views


def fails(request: Any) -> HttpResponse:
    """A view that writes, logs an error and fails."""
    logging.getLogger("shop").error("it goes wrong")
    raise RuntimeError("it went wrong")


async def afails(request: Any) -> HttpResponse:
    logging.getLogger("shop").error("it goes wrong")
    raise RuntimeError("it went wrong")


def handler500(request: Any) -> HttpResponse:
    return HttpResponse("Server error", status=500)


urlpatterns = [path("fails/", fails), path("afails/", afails)]


@pytest.mark.usefixtures("errors_are_mailed")
@pytest.mark.parametrize(("address", "atomic"), [("/fails/", True), ("/fails/", False), ("/afails/", False)])
@pytest.mark.parametrize("away", [True, False])
def test_errors_of_views_are_mailed(settings: Any, address: str, atomic: bool, away: bool) -> None:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = []
    connections["default"].settings_dict["ATOMIC_REQUESTS"] = atomic
    try:
        if away:
            with database_outage():
                answer = Client(raise_request_exception=False).get(address)
        else:
            answer = Client(raise_request_exception=False).get(address)
    finally:
        connections["default"].settings_dict["ATOMIC_REQUESTS"] = False
    assert answer.status_code == 500
    subjects = [message.subject for message in mail.outbox]
    assert any("Internal Server Error" in subject for subject in subjects)
    assert (atomic and away) or any("it goes wrong" in subject for subject in subjects)


# async code


@pytest.mark.filterwarnings("ignore:The 'fail_silently' argument is deprecated")  # as long as Django has it
@pytest.mark.parametrize("fail_silently", [True, False])
def test_mail_leaves_from_async_code(fail_silently: bool) -> None:
    async def view() -> int:
        return send_mail("Hello", "Ann", None, ["ann@example.org"], fail_silently=fail_silently)

    assert asyncio.run(view()) == 1
    assert mailed() == [["ann@example.org"]]


@pytest.mark.usefixtures("errors_are_mailed")
def test_errors_in_async_code_are_mailed() -> None:
    async def view() -> None:
        logging.getLogger("shop").error("it goes wrong")

    asyncio.run(view())
    assert ["it goes wrong" in message.subject for message in mail.outbox] == [True]


def test_in_a_thread_the_message_is_sent_too() -> None:
    async def view() -> int:
        return await sync_to_async(send_mail)("Hello", "Ann", None, ["ann@example.org"])

    assert async_to_sync(view)() == 1
    assert len(received()) == 1


# reports


def test_reports_of_errors_are_always_mailed() -> None:
    """The surrounding transaction may be rolled back, and with it the message."""
    with pytest.raises(RuntimeError), transaction.atomic():
        mail_admins("Error", "Traceback")
        raise RuntimeError
    assert mailed() == [["ann@example.org"]]


def test_other_mails_to_admins_go_as_others_do(settings: Any) -> None:
    configure(settings, EMAIL_ROUTE="message")
    assert EmailMessage("Hello", "Ann", settings.SERVER_EMAIL, ["ann@example.org"]).send() == 1
    assert not mail.outbox and len(received()) == 1
