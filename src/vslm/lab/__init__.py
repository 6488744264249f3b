"""The study that runs: from a declaration to runs, looks and a verdict.

    runner.py       `run_study`: what is not done is done, and every look is a verdict
    pilot.py        whether the baseline has begun to use its context, before the rest is spent
    stages.py, screening.py, tuning.py   the stages: fewer arms, learning rates, the runs that are judged
    race.py         fewer seeds for arms that are behind
    budgets.py, plan.py, memory.py, passes.py   what it takes
    machine_card.py, spent.py   what this machine was seen to do, and how much of a command was training
    checks.py, model_checks.py, own_builds.py   what is refused before any compute
    verdict.py, noise.py   what finished runs say
    record.py, remembered.py, holding.py, progress.py, options.py, answers.py   its folder, options and progress

Not for: arithmetic on tensors.
"""
