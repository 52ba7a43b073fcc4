import django.db.models.deletion
import tmtp.models
from django.db import migrations, models


def the_site_reads_its_mail(apps, schema_editor):
    nodes = apps.get_model("tmtp", "Node").objects.using(schema_editor.connection.alias)
    nodes.filter(user__is_site=True, dropped=None).update(kind=2)


class Migration(migrations.Migration):
    dependencies = [
        ("tmtp", "0002_spooled"),
    ]

    operations = [
        migrations.CreateModel(
            name="SentMessage",
            fields=[
                ("id", tmtp.models.NumberField(primary_key=True, serialize=False)),
                (
                    "sender",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="tmtp.user",
                        verbose_name="sender",
                    ),
                ),
                ("subject", models.TextField(verbose_name="subject")),
                ("thread", models.CharField(blank=True, max_length=16, verbose_name="thread")),
                ("key", models.CharField(editable=False, max_length=255, null=True, verbose_name="key")),
                ("place", models.PositiveIntegerField(default=0, editable=False)),
                ("recalled", models.DateTimeField(editable=False, null=True, verbose_name="recalled")),
            ],
            options={
                "verbose_name": "sent message",
                "verbose_name_plural": "sent messages",
                "constraints": [models.UniqueConstraint(fields=("key", "place"), name="tmtp_sent_once")],
            },
        ),
        migrations.CreateModel(
            name="Report",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "message_id", "node_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "message",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="reports",
                        to="tmtp.sentmessage",
                    ),
                ),
                (
                    "node",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tmtp.node",
                    ),
                ),
                ("sent", models.DateTimeField(null=True, verbose_name="sent")),
                ("acknowledged", models.DateTimeField(null=True, verbose_name="acknowledged")),
                ("read", models.DateTimeField(null=True, verbose_name="read in the mailbox")),
                ("ended", models.DateTimeField(null=True, verbose_name="ended")),
                (
                    "end",
                    models.PositiveSmallIntegerField(
                        choices=[(1, "recalled"), (2, "expired"), (3, "the device was dropped"), (4, "discarded")],
                        null=True,
                        verbose_name="why it ended",
                    ),
                ),
            ],
            options={
                "verbose_name": "delivery report",
                "verbose_name_plural": "delivery reports",
                "indexes": [models.Index(fields=["node"], name="tmtp_report_node")],
            },
        ),
        migrations.AddField(
            model_name="message",
            name="tracked",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="node",
            name="kind",
            field=models.PositiveSmallIntegerField(
                choices=[(1, "device"), (2, "mailbox on the website"), (3, "waiting for a first device")],
                default=1,
                editable=False,
                verbose_name="kind",
            ),
        ),
        migrations.RunPython(the_site_reads_its_mail, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="node",
            constraint=models.UniqueConstraint(
                condition=models.Q(("dropped__isnull", True), ("kind__in", (2, 3))),
                fields=("user", "kind"),
                name="tmtp_one_mailbox_one_holding",
            ),
        ),
    ]
