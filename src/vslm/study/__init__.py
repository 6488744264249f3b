"""What a study is, as values: arms, what is trained, what is judged; and the Python file that holds them.

    experiment.py   one training: model, data, objective, optimizer, budget
    study.py        arms against a baseline, seeds, and the number that decides (primary.py)
    screening.py, learning_rates.py   what comes before judging: fewer arms, a learning rate for each
    race.py         what goes along with it: fewer seeds for arms that are behind
    matching.py, changes.py           arms of equal size
    job.py          one arm with one seed, as a record
    study_file.py, study_module.py, own_classes.py, trust.py   the file of a study and the user's classes in it
    single.py       `vslm train`: a study of one arm
    catalog.py      every spec by its name

Not for: training or judging anything.
"""
