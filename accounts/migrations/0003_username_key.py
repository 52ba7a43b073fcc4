"""The form under which each username compares, for the users that are there, too."""

import unicodedata

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def fill(apps, editor):
    users, keys = apps.get_model(settings.AUTH_USER_MODEL), apps.get_model("accounts", "UsernameKey")
    for user in users.objects.iterator():
        key = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", user.username.strip()).casefold())
        keys.objects.create(user=user, key=key)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_mailed_links"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="UsernameKey",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="username_key",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("key", models.CharField(db_index=True, max_length=1000)),
            ],
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
