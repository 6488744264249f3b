"""From files of a person's own to documents: which files, what they hold, where the text in them is.

    folders.py     a path -> the files that it means, and those that it does not
    contents.py    a file -> its content: unpacked, told by its first bytes, decoded
    pieces.py      a text of any size, piece by piece
    records.py     JSON: lines, arrays, objects; a field by its name
    columns.py     CSV, TSV, Parquet, Arrow; a column by its name
    plain.py       plain text -> documents, and what is worth a remark
    notes.py       what was read, as what, and what was passed over: said, and kept with the corpus

What a file holds is decided by its content. Its name decides whether a folder is searched for it, and nothing else but
how strictly it is read: a file that is called .jsonl must hold records.
"""
