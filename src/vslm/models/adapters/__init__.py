"""A few trained weights beside a finished model, which stays as it is. One file per idea.

    Adapter      the interface: a spec, in Experiment(start_from=RUN, adapter=...)       adapter.py
    LoRA         a change of low rank for each matrix                                    lora.py
    Cartridge    keys and values that every text stands behind                           cartridge.py

Not for: models that are trained as a whole; what they share among themselves is `models/path/shares.py`.
"""
