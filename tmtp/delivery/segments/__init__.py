"""Segments: saved conditions on members, which broadcasts go to. They are evaluated when a broadcast is sent.

`models` is what is stored, `kinds` has the kinds of conditions, `members` finds those who meet them.
"""
