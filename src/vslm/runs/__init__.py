"""One run, from its record to its folder, and the processes that carry runs out.

    objects.py      specs -> model, batches, objective, optimizer
    run.py          a job in a folder, through any number of interruptions; recording.py writes what measures took
    timing.py       how fast a job trains: a few steps of the training that runs
    bench.py        whole steps beside nanoGPT's
    pool.py, worker.py, fork_server.py   processes, one order after another, forked where that is safe
    stored_run.py   a finished run's folder as models

Not for: which runs a study needs, or what they mean.
"""
