from typing import Any

from django.db import migrations, models

from tmtp.services.people.lookalikes import folded


def fold(apps: Any, schema_editor: Any) -> None:
    """Fold the names that exist."""
    found = apps.get_model("tmtp", "Alias").objects.using(schema_editor.connection.alias)
    for alias in found.filter(folded="").iterator(chunk_size=2000):
        found.filter(pk=alias.pk).update(folded=folded(alias.name))


class Migration(migrations.Migration):
    dependencies = [("tmtp", "0010_names_for_people")]

    operations = [
        migrations.AddField(
            "alias",
            "folded",
            models.CharField(db_index=True, default="", editable=False, max_length=510),
        ),
        migrations.RunPython(fold, migrations.RunPython.noop, elidable=True),
    ]
