"""Backups of the database and the spool, in one archive, taken while the service runs."""
