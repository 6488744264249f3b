"""The command that asks trained models benchmarks: eval."""

import sys

from vslm.cli.arguments import Adapters, Count, Flag, Json, Some
from vslm.cli.printing import print_json


def evaluate(
    *paths: Some,
    by: str | None = None,
    limit: Count | None = None,
    adapter: Adapters = (),
    anew: Flag = False,
    json_: Json = False,
    trust: Flag = False,
) -> None:
    """Ask trained models benchmarks: minimal pairs, last words, questions with choices; two or more on the same items.

    What is asked in full is kept with the run and shown on its page; the same again is read from there.
    Of a study with specs of its own this runs the study file in its folder, if you ran it here or with --trust.

    Args:
        paths: Runs (runs/NAME/ARM/seed0; of an arm or a study the first finished seed), and behind them benchmarks:
            files of JSON lines in the form of BLiMP, LAMBADA, HellaSwag, ARC or PIQA, or a name (blimp, lambada,
            hellaswag, arc_easy, piqa) whose file lies in VSLM_HOME/evals.
        by: The field of an item that says what it is about. Default: UID, as in BLiMP, or else the file.
        limit: Items of each benchmark at most, spread over it. Then nothing is kept.
        adapter: The folder of a run that trained an adapter beside these weights; it is put on. May be repeated.
        anew: Score again what was kept.
        json_: Print JSON and nothing else.
        trust: Run the code in the folder even if you did not run it on this machine before, or it was changed since.
    """
    from vslm.after.evaluating import Asked, runs_and_benchmarks
    from vslm.after.evaluating import evaluate as evaluated
    from vslm.report.numbers.evals import difference_rows, group_rows, run_rows, sentences
    from vslm.report.pages.study import write_report
    from vslm.report.terminal import plain_table, show
    from vslm.results.naming import study_around

    asked = Asked(by=by, limit=limit, adapters=tuple(adapter), anew=anew, trust=trust)
    runs, benchmarks = runs_and_benchmarks(paths)
    found = evaluated(runs, benchmarks, asked, lambda words: print(f"vslm: {words}", file=sys.stderr, flush=True))
    pages = [study for run in runs if asked.is_stored and (study := study_around(run)) is not None]
    if json_:
        print_json(found)
    for one in [] if json_ else found:
        print(f"\n{one['name']}: {one['num_items']:,} items, {one['form']}")
        for headings, rows in (run_rows(one), group_rows(one), difference_rows(one)):
            if rows:
                show(plain_table(headings, rows))
        for words in sentences(one):
            print(words)
    for study in dict.fromkeys(pages):  # what was found out is said by now, if a page cannot be written
        page = write_report(study)
        if not json_:
            print(f"report  {page}")
