"""One message to many members: written and previewed in the admin, sent by workers, a portion at a time.

`models` is what is stored, `audience` finds the recipients, `fields` fills in what differs between them, `files` are
attachments, `lifecycle` starts, pauses and cancels, `sending` sends, `tasks` is what workers run. `pace` says how fast
it goes, `reporting` counts what arrived, `trial` shows it to one member. `admin`, `pages` and `library` are the pages.
"""
