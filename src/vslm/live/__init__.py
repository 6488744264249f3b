"""The live room: a folder of studies as pages on this machine, while studies run.

    shelf.py       which studies there are, how far each is, kept until a file changes
    progress.py    how far a study is, and whether a process holds it
    growing.py     the rows that came since a cursor
    pages.py       the list, the page of a study, what they poll
    reading.py     a typed text as the token view draws it
    guard.py       what is refused, before anything is read
    app.py         a request in, an answer out; no sockets
    server.py      sockets

It stands above the report, whose pages it shows, and imports neither torch nor the lab: what reads typed text with
stored weights is handed to it as a function (`after/typed_text.py`, by `cli/reading.py`). So a server starts at once.

Not for: writing anything. A visitor can change no file.
"""
