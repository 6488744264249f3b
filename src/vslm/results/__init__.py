"""The run folder: what is written, where, and how it is read. No torch, so that a report needs none.

    runs/<study>/
    ├── study.json            the question, the arms with their differences, the settings chosen once
    ├── <study>.py            a copy of the study file
    ├── verdict.json          written at every look
    ├── answers.json          what the study's own function `answers` said of it
    ├── report.html
    ├── screen/<arm>/seed<k>/              a study that screens: one run of every arm
    ├── tuning/<arm>/rate-<r>/seed<k>/     a study that tunes
    ├── budgets/x<b>/<arm>/seed<k>/        a study at several budgets: those beside one
    └── <arm>/seed<k>/
        ├── experiment.json   the spec, from the real objects, with its fingerprint
        ├── environment.json  versions, machine, device, threads, precision, kernels
        ├── measures.jsonl    one row per evaluation
        ├── arrays.npz        losses by position, steps x positions
        ├── tokenizer.json
        ├── checkpoints/
        ├── weights.safetensors
        ├── sample.txt
        └── done.json         written last: a run without it is not done; final numbers, and what measures declare

Not for: knowing what a model is. Everything here is text, numbers and arrays.
"""
