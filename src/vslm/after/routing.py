"""A finished run that writes with one of several adapters: which, the prompt decides."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vslm.after.sampling import Writer, Writes
from vslm.data.corpus import open_corpus
from vslm.knowledge.choosing import chosen
from vslm.knowledge.retriever import ReadyModel
from vslm.knowledge.routing import Router, router_of
from vslm.lab.checks import finished
from vslm.models.adapters.adapter import AdapterModule, attached
from vslm.runs.adapted import modules_of
from vslm.runs.stored_run import StoredRun

_MOST_TEXTS = 4_096  # of one adapter, from the beginning of its corpus
_MOST_SHOWN = 60  # characters of the text that decided


@dataclass(frozen=True)
class RoutedWriter:
    """A writer with adapters, one of which is on while it writes.

    Args:
        writer: without any of them.
        inner: what writes: `writer`, or one with a store around it.
        router: chooses.
        modules: the adapters.
        names: of them.
        say: told which was chosen, and by what.
    """

    writer: Writer
    inner: Writes
    router: Router
    modules: Sequence[AdapterModule]
    names: Sequence[str]
    say: Callable[[str], None]

    def cut_words(self, prompt: str) -> str:
        """As of the writer."""
        return self.inner.cut_words(prompt)

    def stream(self, prompt: str) -> Iterator[str]:
        """The prompt and what follows, with the adapter on that was trained on what is most like the prompt."""
        route = self.router.choose(prompt)
        if route is None:
            self.say("no adapter: nothing that they were trained on is like the prompt")
            yield from self.inner.stream(prompt)
            return
        text = " ".join(route.text.split())
        shown = f"{text[:_MOST_SHOWN]}..." if len(text) > _MOST_SHOWN else text
        self.say(f"adapter {self.names[route.adapter]}, by {shown!r} ({route.score:.2f})")
        with attached(self.writer.model, self.modules[route.adapter]):
            yield from self.inner.stream(prompt)


def with_route(
    writer: Writer,
    adapters: Sequence[Path],
    by: str,
    say: Callable[[str], None],
    *,
    inner: Writes | None = None,
    trust: bool = False,
) -> RoutedWriter:
    """A writer whose adapter is chosen by each prompt.

    Args:
        writer: without any of them on.
        adapters: folders of the runs that trained them.
        by: "bm25", "states" (of the run that writes, without an adapter) or "random".
        say: told what is chosen.
        inner: what writes, where that is not `writer`.
        trust: whether code in the folders is run even if this user did not run it before.
    Raises: as `router_of` and `put_on`; DataError where the corpus of an adapter is not on this machine.
    """
    for adapter in adapters:
        finished(adapter)
    names = [str(adapter) for adapter in adapters]
    modules = modules_of(writer.model, writer.run, adapters, trust=trust)
    router = opened_router(writer, [StoredRun(one, trust=trust) for one in adapters], names, by)
    return RoutedWriter(writer, inner or writer, router, modules, names, say)


def opened_router(writer: Writer, runs: Sequence[StoredRun], names: Sequence[str], by: str) -> Router:
    """A router by the texts that runs were trained on. Raises: see `with_route`."""
    retriever = chosen(by, run=str(writer.run.path))
    texts = [texts_of(run) for run in runs]
    return router_of(texts, names, retriever, lambda _: ReadyModel(writer.model, writer.tokenizer))


def texts_of(run: StoredRun) -> list[str]:
    """The first documents that a run was trained on, as text.

    Raises: DataError where its corpus is not on this machine.
    """
    corpus = open_corpus(run.job.corpus)
    tokens_N, separator = corpus.train.tokens, corpus.tokenizer.end_of_text
    ends = [*np.flatnonzero(np.asarray(tokens_N) == separator).tolist(), len(tokens_N)]
    texts, start = [], 0
    for end in ends:
        if end > start:
            texts.append(corpus.tokenizer.decode(np.asarray(tokens_N[start:end]).astype(np.int64).tolist()))
        start = end + 1
        if len(texts) == _MOST_TEXTS:
            break
    return texts
