"""Commands of the site, and how manage.py starts one."""

from __future__ import annotations

import gc

from django.core.management import BaseCommand, ManagementUtility


class Utility(ManagementUtility):
    """Starts a command, and looks for garbage from then on: manage.py has turned that off."""

    def fetch_command(self, subcommand: str) -> BaseCommand:
        """Return the command. What has been imported until now stays, and is never looked through again."""
        command = super().fetch_command(subcommand)
        gc.freeze()
        gc.enable()
        return command
