"""The further corpora that an arm's objective reads: prepared with the ids of its own text, checked before any run."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vslm.core.errors import DataError, SpecError, VslmError
from vslm.core.numbers import passes_words
from vslm.data.corpus import Corpus
from vslm.data.preparing import prepare
from vslm.data.sources.source import Source
from vslm.data.windows import check_alignment
from vslm.lab.passes import passes
from vslm.runs.ready_models import ready_model
from vslm.study.experiment import Experiment

_DEFAULT_TOKENIZER = Source.__dataclass_fields__["tokenizer"].default


def further_corpora(
    experiment: Experiment,
    corpus: Corpus,
    prepared: dict[tuple[Source, str | None], Corpus],
    say: Callable[[str], None] | None = None,
) -> Mapping[str, Corpus]:
    """What the objective of an arm reads beside its own text, by name.

    A source with the tokenizer of the experiment's data, or with the default one, gets the ids of its corpus; another
    tokenizer must come to the same ids.

    Args:
        experiment: of the arm.
        corpus: its own.
        prepared: what is there already, by source and ids; added to.
        say: called with a sentence for every corpus that is prepared.
    Raises: SpecError at the source, seen from the experiment, for one that cannot be read, has other ids, or has not
        one window.
    """
    objective = experiment.objective
    found: dict[str, Corpus] = {}
    for name, source in ({} if objective is None else objective.sources()).items():
        gets_ids = source.tokenizer in (experiment.data.tokenizer, _DEFAULT_TOKENIZER)
        key = source, corpus.tokenizer_fingerprint if gets_ids else None
        try:
            if key not in prepared:
                tokenizer = corpus.tokenizer if gets_ids else None
                prepared[key] = prepare(source, say=say, models=ready_model, tokenizer=tokenizer)
            _check(prepared[key], corpus, experiment.model.context_tokens)
        except VslmError as error:
            where = f"{error.where}: " if error.where else ""
            raise SpecError(f"objective.{name}", f"{where}{error.found}", error.allowed, error.do) from None
        found[name] = prepared[key]
    return found


def _check(further: Corpus, corpus: Corpus, context_tokens: int) -> None:
    if further.tokenizer_fingerprint != corpus.tokenizer_fingerprint:
        found = f"its tokenizer ({further.tokenizer_fingerprint}) is not that of the data"
        allowed = f"an id must mean the same text in both ({corpus.tokenizer_fingerprint})"
        raise DataError("tokenizer", found, allowed, "give it the tokenizer of the data, or none")
    check_alignment(context_tokens, further.align_tokens)
    num_tokens = further.train.num_tokens
    if num_tokens <= context_tokens:
        found = f"a window of {context_tokens:,} tokens does not fit into the {num_tokens:,} tokens of train"
        raise DataError("", found, "", "give more text, or a smaller context_tokens")


def further_rows(tokens: int, corpus: Corpus) -> list[dict[str, Any]]:
    """Of each further corpus of an arm: its name, what it is, and how often a run goes through it.

    Args:
        tokens: of a run; as many are read of each.
        corpus: of the arm.
    """
    return [
        {"name": name, "description": one.meta["description"], "passes": passes(tokens, one)}
        for name, one in corpus.further.items()
    ]


def words_of_further(rows: Mapping[str, list[dict[str, Any]]]) -> Iterator[str]:
    """What is said of the further corpora of all arms; arms that read the same share a sentence."""
    alike: dict[str, list[str]] = {}
    for arm, found in rows.items():
        for row in found:
            words = f"its {row['name']} reads {row['description']}, {passes_words(row['passes'])}"
            alike.setdefault(words, []).append(arm)
    for words, arms in alike.items():
        of = f"arm{'s' if len(arms) > 1 else ''} {', '.join(map(repr, arms))}"
        yield f"the objective of {of}: {words}; these passes are not counted in FLOPs (match='time' counts them)"
