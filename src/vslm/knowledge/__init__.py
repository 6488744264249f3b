"""Facts outside the weights: what is stored, how it is found, and how it is put in front of a text.

Passage, Fact, cut_passages(...)   what a store holds                      passages.py
build_store(...), open_store(...)  a folder with a fingerprint             store.py
Retriever, Finder, Query           (store, query) -> passages with scores  retriever.py
BM25, States, Random, Oracle       one file each

A model does not know that any of it exists: it sees tokens.
"""
