"""The report room: what a person sees of a study, made from the run folder alone.

    tables.py      plain rows: every arm ever run, the verdict, what differs, the state of each run
    runs.py        one run read from disk, whole or with the reason why not
    curves.py      numbers with intervals: loss over training, loss by position, differences from the baseline
    style.py       how an arm looks; numbers and text that a figure may hold
    axes.py        the layout and the axes that figures share
    line_figures.py, heat_figures.py, arm_figures.py, dot_figure.py, map_figure.py   figures, as plain dicts
    section.py     what a section of what was measured is made of; measured.py, early_days.py, calibration.py and
                   prompt_effect.py make them
    prompts_page.py  the page, figures and tables of `vslm prompts`
    sides.py       runs or arms of any study, for `vslm compare`; compare.py compares them, compare_page.py shows them
    page.py        `write_report`: one self-contained `report.html`
    terminal.py    the same rows for a terminal
    formatting.py  numbers as people read them

`tables` is all that `vslm ls` needs, and it imports nothing heavy. Not for: running anything, or knowing what a model
is. Nothing here imports torch, and no training code knows that this room exists.
"""
