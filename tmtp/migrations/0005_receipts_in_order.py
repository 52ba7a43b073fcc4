"""Receipts in the order in which they are written. PostgreSQL indexes their keys; SQLite keeps that index in memory."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

INDEX = models.Index(fields=["key"], name="tmtp_receipt_key")


def add_index(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.add_index(apps.get_model("tmtp", "Receipt"), INDEX)


def remove_index(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.remove_index(apps.get_model("tmtp", "Receipt"), INDEX)


class Migration(migrations.Migration):
    dependencies = [("tmtp", "0004_limit_counts")]

    operations = [
        migrations.DeleteModel("Receipt"),
        migrations.CreateModel(
            name="Receipt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.BigIntegerField()),
                ("digest", models.BinaryField(max_length=32)),
                ("number", models.BigIntegerField()),
            ],
        ),
        migrations.RunPython(add_index, remove_index, elidable=False),
    ]
