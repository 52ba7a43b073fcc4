"""The full-text index of mailboxes: a tsvector on PostgreSQL, FTS5 on SQLite if that has it."""

from django.db import migrations

COLUMNS = "box, subject, people, text"
# Words come as they are compared. Of the tokenizers, "ascii" alone takes every character beyond ASCII for a part of one.
OPTIONS = "columnsize=0, detail=column, tokenize='ascii'"


def make(apps, editor):
    with editor.connection.cursor() as cursor:
        if editor.connection.vendor == "postgresql":
            cursor.execute("ALTER TABLE tmtp_mailbox_entry ADD COLUMN words tsvector")
            cursor.execute("CREATE INDEX tmtp_mailbox_entry_words ON tmtp_mailbox_entry USING gin (words)")
        elif cursor.execute("SELECT sqlite_compileoption_used('ENABLE_FTS5')").fetchone()[0]:
            cursor.execute(f"CREATE VIRTUAL TABLE tmtp_mailbox_words USING fts5({COLUMNS}, {OPTIONS})")


def unmake(apps, editor):
    with editor.connection.cursor() as cursor:
        if editor.connection.vendor == "postgresql":
            cursor.execute("ALTER TABLE tmtp_mailbox_entry DROP COLUMN words")
        else:
            cursor.execute("DROP TABLE IF EXISTS tmtp_mailbox_words")


class Migration(migrations.Migration):
    dependencies = [("tmtp_mailbox", "0001_initial")]
    operations = [migrations.RunPython(make, unmake)]
