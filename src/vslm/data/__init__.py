"""Text -> documents -> tokens -> windows -> batches. Each stage has a fingerprint; nothing here knows a model.

source.documents()      what there is to read                sources/
Readings(source)        the same again, as often as needed   readings.py
split_documents(...)    train, select, val by hash           splits.py
tokenizer.fit(...)      a tokenizer from train alone         tokenizers.py
SplitWriter             ids and weights of a split           split_writer.py
prepare(source)         flat token files, cached             preparing.py
Corpus                  those files, opened                  corpus.py
training_starts(...)    the windows of a step                windows.py
Batch, Windows          tokens, targets and their weights    batches.py
"""
