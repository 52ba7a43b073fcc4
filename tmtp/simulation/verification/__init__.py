"""Verify a server: play the conversations in `../conversations/` against it, and report each difference."""
