"""Text -> documents -> tokens -> windows -> batches. Each stage has a fingerprint; nothing here knows a model.

source.documents()      what there is to read                sources/
split_documents(...)    train, select, val by hash           splits.py
tokenizer.fit(...)      a tokenizer from train alone         tokenizers.py
prepare(source)         flat token files, cached             corpus.py
training_starts(...)    the windows of a step                windows.py
Batch, Windows          tokens, targets and their weights    batches.py
"""
