"""The report room: what a person sees of a study, made from the run folder alone.

    numbers/    what is shown, as numbers with intervals: curves, tables, comparisons
    figures/    how numbers are drawn: plain dicts, for the page and for paper
    sections/   the parts of a page that appear where something was measured
    pages/      `write_report`: one self-contained `report.html`; comparisons, prompts, images
    terminal.py the same tables for a terminal

Each imports only those above it. `numbers.tables` is all that `vslm ls` needs, and it imports nothing heavy. Not for:
running anything, or knowing what a model is. Nothing here imports torch, and no training code knows this room.
"""
