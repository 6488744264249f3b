"""Commands that use trained models: sample, measure, prompts."""

import sys
from pathlib import Path

from vslm.cli.arguments import Adapters, Count, Flag, Json, Real, RetrieverName, Some
from vslm.cli.printing import print_json
from vslm.core.errors import SpecError, VslmError
from vslm.core.visible import plain


def sample(
    folder: Path,
    /,
    *,
    prompt: str | None = None,
    interactive: Flag = False,
    tokens: Count = 200,
    temperature: Real = 0.8,
    top_k: Count | None = None,
    seed: Count = 0,
    adapter: Adapters = (),
    route: RetrieverName | None = None,
    store: Path | None = None,
    retriever: RetrieverName = "bm25",
    passages: Count = 2,
    every: Count | None = None,
    when_uncertain: Real | None = None,
    trust: Flag = False,
) -> None:
    """Let a trained model write.

    On a terminal control characters in the text are shown as escapes; into a file or a pipe it goes as it is.
    Of a study with specs of its own this runs the study file in its folder, if you ran it here or with --trust.

    Args:
        folder: Of a run (runs/NAME/ARM/seed0), or of an arm or a study: then the (baseline's) first finished seed.
        prompt: What it goes on from. Default: the start of a document.
        interactive: Read prompts, one a line, until an empty line, Ctrl-D or Ctrl-C.
        tokens: How many to write.
        temperature: Below 1 is more likely text, 0 always the likeliest token.
        top_k: Draw from the k likeliest tokens only. Default: from all.
        seed: Of the draws: the same seed writes the same text.
        adapter: The folder of a run that trained an adapter (Experiment(adapter=...)) beside these weights. May be
            repeated: several act together.
        route: Put on one of them alone: the one that was trained on what is most like the prompt, by shared words, by
            the states of the model without any of them, or at random.
        store: A store (vslm store build): passages that are found in it for the prompt stand in front of it, and are
            printed.
        retriever: How they are found: by shared words, by the states of the model that writes, or at random.
        passages: How many.
        every: Find and load anew after so many tokens, by the text that stands there then.
        when_uncertain: Find and load anew where the entropy of the next token is above so many nats.
        trust: Run the code in the folder even if you did not run it on this machine before, or it was changed since.
    """
    from vslm.after.sampling import Draws, converse, open_run

    draws = Draws(tokens=tokens, temperature=temperature, top_k=top_k, seed=seed)
    writer = opened = open_run(folder, draws, adapters=() if route else adapter, trust=trust)
    if writer.run.path.resolve() != folder.resolve():
        print(f"vslm: {writer.run.path} writes", file=sys.stderr)
    if store is not None:
        from vslm.after.loading import Loading, with_store

        asked = Loading(store=store, retriever=retriever, passages=passages, every=every, when_uncertain=when_uncertain)
        writer = with_store(writer, asked, _said_between)
    elif every is not None or when_uncertain is not None:
        raise SpecError("--store", "not given", "--every and --when-uncertain load from a store", "name one")
    if route is not None:
        from vslm.after.routing import with_route

        writer = with_route(opened, adapter, route, _said_between, inner=writer, trust=trust)
    if interactive:
        converse(writer)
        return
    if words := writer.cut_words(prompt or ""):
        print(f"vslm: {words}", file=sys.stderr)
    # Into a file or a pipe goes what the model wrote, byte for byte; on a terminal control characters are shown.
    to = sys.stdout if sys.stdout.isatty() else plain(sys.stdout)
    for piece in writer.stream(prompt or ""):
        print(piece, end="", file=to, flush=True)
    print(file=to)


def _said_between(words: str) -> None:
    """What is loaded, on a line of its own beside the text."""
    sys.stdout.flush()
    print(f"{chr(10) if words.startswith('after') else ''}vslm: {words}", file=sys.stderr, flush=True)


def route(
    folder: Path,
    /,
    *,
    adapter: Adapters = (),
    by: RetrieverName = "bm25",
    questions: Count = 200,
    json_: Json = False,
    trust: Flag = False,
) -> None:
    """Ask about parts of a fixed world with the adapter of each part, with the one that a router chooses, and without.

    Args:
        folder: Of the run whose model it is.
        adapter: The folder of a run that trained an adapter beside it on Worlds(world="fixed", some=SomeFacts(...)).
            Repeated, once for each part.
        by: How the router compares a question with what each was trained on: by shared words, by the states of the
            model without any adapter, or at random.
        questions: About each part, each about one fact.
        json_: Print JSON and nothing else.
        trust: Run the code in the folder even if you did not run it on this machine before, or it was changed since.
    """
    from vslm.after.routed_answers import routed_answers

    found = routed_answers(folder, adapter, by=by, questions=questions, trust=trust)
    if json_:
        print_json(found)
        return
    print("right with: its own adapter, the one that is chosen, another, none; how often the right one is chosen;")
    print("bits of its facts with its own adapter, and per parameter of that")
    for name, row in [*found["adapters"].items(), ("mean", found["mean"])]:
        shares = "  ".join(f"{row[key]:5.2f}" for key in ("right", "routed", "another", "none", "router"))
        print(f"{shares}  {row['bits']:8.1f}  {row['bits_per_parameter']:.4f}  {name}")


def measure(folder: Path, /, *measures: Some, trust: Flag = False) -> None:
    """Take measures of finished runs from the weights that they stored, and write the page again.

    A run that is torn is named and passed over; the command then ends with 1.
    Of a study with specs of its own this runs the study file in its folder, if you ran it here or with --trust.

    Args:
        folder: Of a study (runs/NAME), of an arm (runs/NAME/ARM), or of a run (runs/NAME/ARM/seed0).
        measures: As a study writes them: TokenView, or in quotes "LogitLens(num_tokens=8192)". There are
            AnswerAccuracy, AttentionDistance, AttentionMaps, BeyondContext, ContextCurve, CopyGain, EarlyDays,
            EffectiveRank, LikelierAnswers, LoadedAnswers, LogitLens, LossAlongStep, LossByLoops, LossByPosition,
            MinimalPairs, ParameterTrack, PositionProfile, PrefixMatching, PromptEffect, QuantizedAnswers,
            RecallAccuracy, ResidualNorms, SquadAccuracy, TokenClasses, TokenProbe, TokenView, ValueProbe.
        trust: Run the code in the folder even if you did not run it on this machine before, or it was changed since.
    """
    import time

    from vslm.after.measuring import evaluations, take
    from vslm.report.pages.study import write_report
    from vslm.results.folder import study_folder_of

    passed_over: set[str] = set()

    def pass_over(name: str, error: VslmError) -> None:
        said = f"vslm: {name}: passed over, {error}"
        if said not in passed_over:  # one message for two measures of a torn run
            print(said, file=sys.stderr)
        passed_over.add(said)

    for taking in evaluations(folder, measures, pass_over, trust=trust):
        start = time.perf_counter()
        try:
            steps = take(taking, say=print)
        except VslmError as error:
            if isinstance(error.__cause__, OSError):  # the disk is full: no other run could do better
                raise
            pass_over(taking.run.name, error)
            continue
        at = f"step {steps[0]:,}" if len(steps) == 1 else f"{len(steps)} steps from {steps[0]:,} to {steps[-1]:,}"
        print(f"{taking.run.name}: {taking.measure.recorded_as} at {at}, {time.perf_counter() - start:.1f} s")
    print(f"report  {write_report(study_folder_of(folder).path)}")
    if passed_over:
        sys.exit(1)


def prompts(
    folder: Path,
    /,
    *,
    prompts: Path,
    continuations: Path | None = None,
    out: Path | None = None,
    figures: Path | None = None,
    seed: Count = 0,
    json_: Json = False,
    trust: Flag = False,
) -> None:
    """Say what prompts do to what follows: how much likelier each makes a continuation, and for how many tokens.

    Of a study with specs of its own this runs the study file in its folder, if you ran it here or with --trust.

    Args:
        folder: Of a run (runs/NAME/ARM/seed0), or of an arm or a study: then the (baseline's) first finished seed.
        prompts: A text file, one prompt a line; with <|endoftext|> between them a prompt may have several lines.
        continuations: Likewise, what may follow. Default: what the model itself writes after each prompt.
        out: The page. Default: prompts.html in the working directory.
        figures: Also write every figure there, as PNG, SVG and CSV; needs matplotlib (pip install 'vslm[figures]').
        seed: Of what the model writes and of the shuffled prompts.
        json_: Print JSON and nothing else; no page is written unless --out names one.
        trust: Run the code in the folder even if you did not run it on this machine before, or it was changed since.
    """
    from vslm.after.prompts import effect_of_prompts
    from vslm.report.pages.prompts import decay_words, terminal_tables, write_figures, write_page
    from vslm.report.terminal import show

    effect = effect_of_prompts(folder, prompts, continuations, seed=seed, trust=trust)
    page = out or Path("prompts.html")
    if figures is not None:
        write_figures(effect, figures)
    if out is not None or not json_:
        write_page(effect, page)
    if json_:
        print_json(effect)
        return
    for table in terminal_tables(effect):
        show(table)
    for words in (decay_words(effect), *effect["remarks"]):
        print(words)
    print(f"page  {page}")
