"""A site with django-allauth, in a process of its own: somebody signs up, confirms, forgets the password, gets a mail.

Prints as JSON which mails went out and which messages, one list of subjects for each step.
"""

from __future__ import annotations

import json
import re
import sys

import django
from django.conf import settings

from tmtp.delivery.tests.mailers import mail_settings


def configure(folder: str) -> None:
    settings.configure(
        SECRET_KEY="of a test",
        ALLOWED_HOSTS=["testserver"],
        ROOT_URLCONF="tmtp.delivery.tests.allauth_site",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/site.sqlite3"}},
        INSTALLED_APPS=[
            *("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"),
            *("django.contrib.messages", "allauth", "allauth.account", "django_q", "tmtp", "tmtp.delivery"),
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "allauth.account.middleware.AccountMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
            }
        ],
        AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
        ACCOUNT_EMAIL_VERIFICATION="mandatory",
        ACCOUNT_SIGNUP_FIELDS=["email*", "username*", "password1*", "password2*"],
        **mail_settings("tmtp.delivery.email.EmailBackend"),
        TMTP_DELIVERY={"FALLBACK_EMAIL_BACKEND": "django.core.mail.backends.locmem.EmailBackend"},
        TMTP={"SPOOL_DIR": f"{folder}/spool"},
        Q_CLUSTER={"orm": "default", "timeout": 60, "retry": 120},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()


def step() -> dict[str, list[str]]:
    """The subjects of what has been sent since the last step."""
    from django.core import mail

    from tmtp.models import SentMessage

    seen = {
        "mails": [sent.subject for sent in mail.outbox],
        "messages": list(SentMessage.objects.values_list("subject", flat=True)),
    }
    mail.outbox.clear()
    SentMessage.objects.all().delete()
    return seen


def run() -> None:
    from django.contrib.auth import get_user_model
    from django.core import mail
    from django.core.management import call_command
    from django.test import Client

    from tmtp.services.people import devices
    from tmtp.services.people.linking import user_of

    call_command("migrate", verbosity=0)
    mail.outbox = []
    browser = Client(raise_request_exception=True)
    password = "a Password of 26 letters"
    form = {"email": "ann@example.org", "username": "ann", "password1": password, "password2": password}
    browser.post("/accounts/signup/", form)
    (link,) = re.findall(r"http://testserver(/\S+)", mail.outbox[0].body)
    signed_up = step()
    browser.post(link)
    devices.make_node(user_of(get_user_model().objects.get()), "phone")
    step()
    Client().post("/accounts/password/reset/", {"email": "ann@example.org"})
    forgotten = step()
    mail.send_mail("Hello", "Ann", None, ["ann@example.org"])
    print(json.dumps({"signed up": signed_up, "forgotten": forgotten, "hello": step()}))


if __name__ == "__main__":
    configure(sys.argv[1])
    run()
else:
    from django.urls import include, path

    urlpatterns = [path("accounts/", include("allauth.urls"))]
