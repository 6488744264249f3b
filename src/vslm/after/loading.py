"""A finished run that writes with a store: passages in front of the prompt, and loaded anew on the way.

The window that the model sees is [separator] [passages] [the end of the text]: passages stay in front while the text
moves on. Half of the context at most is theirs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vslm.after.sampling import Writer
from vslm.core.bounds import Some
from vslm.core.errors import SpecError
from vslm.data.tokenizers import FittedTokenizer
from vslm.knowledge.choosing import chosen
from vslm.knowledge.preloading import Loaded, Loader, laid_out
from vslm.knowledge.retriever import Finder, ReadyModel
from vslm.knowledge.store import open_store
from vslm.models.generation import draw
from vslm.models.language_model import LanguageModel
from vslm.models.parts.past import TextSoFar

_LOADED_FRACTION = 0.5  # of the context, for passages
_MOVED_FRACTION = (
    0.25  # of the room for text, by which it moves on where it is full: what was computed serves until then
)
_QUERY_TOKENS = 64  # of the end of the text, by which passages are found
_FEWEST_BETWEEN = 8  # tokens from one load to the next, however uncertain

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Loading:
    """What is loaded, and when.

    Args:
        store: its folder.
        retriever: "bm25", "states" (of the run that writes) or "random".
        passages: how many.
        every: anew after so many tokens; None: not.
        when_uncertain: anew where the entropy of the next token is above so many nats; None: not.
    Raises: SpecError, at the option's name on the command line.
    """

    store: Path
    retriever: str = "bm25"
    passages: Some = 2
    every: int | None = None
    when_uncertain: float | None = None

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            raise SpecError("--every", f"found {self.every}", "1 token or more is needed")
        if self.when_uncertain is not None and not self.when_uncertain >= 0:
            raise SpecError("--when-uncertain", f"found {self.when_uncertain}", "0 nats or more is needed")
        if self.every is not None and self.when_uncertain is not None:
            raise SpecError("--when-uncertain", "given beside --every", "one of the two says when", "leave one out")


@dataclass(frozen=True)
class LoadingWriter:
    """A writer with a store.

    Args:
        writer: the model, its tokenizer, and how tokens are drawn.
        loading: what is loaded, and when.
        loader: that does it.
        say: told what was loaded, and when.
    """

    writer: Writer
    loading: Loading
    loader: Loader
    say: Say

    def cut_words(self, prompt: str) -> str:
        """What of a prompt the model does not see beside the passages, in words; empty where it sees all of it."""
        num_tokens, context = len(self.writer.tokenizer.encode(prompt)), self.writer.model.context_tokens
        room = context - _most_loaded(context)
        if num_tokens <= room:
            return ""
        return f"the prompt has {num_tokens:,} tokens; beside passages the model sees the last {room:,} for certain"

    def stream(self, prompt: str) -> Iterator[str]:
        """Yield the prompt and what follows, as `Writer.stream` does.

        Raises: DataError for a prompt that the tokenizer cannot encode, and as `Loader.load`.
        """
        writer, loading = self.writer, self.loading
        decoder = writer.tokenizer.streaming_decoder()
        text = _Text(writer, self.loader, prompt)
        self.say(f"loaded: {text.load().words}")
        yield prompt
        generator, last_load = torch.Generator().manual_seed(writer.draws.seed), 0
        for number in range(writer.draws.tokens):
            since = number - last_load
            if loading.every is not None and number and since >= loading.every:
                last_load = number
                self._load_anew(text, f"after {number:,} tokens")
            logits_V = text.next_logits()
            entropy_nats = _entropy_nats(logits_V)
            limit = loading.when_uncertain
            if limit is not None and number and entropy_nats > limit and since >= _FEWEST_BETWEEN:
                last_load = number
                if self._load_anew(text, f"after {number:,} tokens, the next uncertain by {entropy_nats:.2f} nats"):
                    logits_V = text.next_logits()
            token = draw(logits_V, temperature=writer.draws.temperature, top_k=writer.draws.top_k, generator=generator)
            text.append(token)
            if piece := decoder.push(token):
                yield piece
        yield decoder.finish()

    def _load_anew(self, text: "_Text", when: str) -> bool:
        """Load by what stands there now; whether that is something else than before."""
        before = text.loaded
        loaded = text.load()
        if before is not None and loaded.found == before.found:
            return False
        self.say(f"{when}, loaded: {loaded.words}")
        return True


class _Text:
    """A text that grows, with what is in front of it and what of it the model sees."""

    def __init__(self, writer: Writer, loader: Loader, prompt: str) -> None:
        self._model, self._tokenizer, self._loader = writer.model, writer.tokenizer, loader
        self._prompt = prompt
        text = laid_out(prompt, []).text  # without its place for passages, which is in front
        self._ids: list[int] = self._tokenizer.encode(text).tolist() if text else []
        separator = self._tokenizer.end_of_text
        self._begin = [] if separator is None else [separator]
        self._so_far, self._first = TextSoFar(), 0
        self.loaded: Loaded | None = None

    def load(self) -> Loaded:
        """Find passages by the end of the text, and put them in front."""
        query = self._tokenizer.decode(self._ids[-_QUERY_TOKENS:])
        loaded = self._loader.load(self._prompt, query)
        if self.loaded is None or loaded.found != self.loaded.found:
            self.loaded, self._so_far, self._first = loaded, TextSoFar(), 0
        return loaded

    def append(self, token: int) -> None:
        """The next token."""
        self._ids.append(token)

    def next_logits(self) -> Tensor:
        """Of the token that follows, [V] in fp32 on the CPU."""
        assert self.loaded is not None
        front = [*self._begin, *self.loaded.front_M.tolist()]
        room = self._model.context_tokens - len(front)
        if len(self._ids) - self._first > room:
            moved = 0 if not self._model.can_continue else int(_MOVED_FRACTION * room)
            self._first, self._so_far = len(self._ids) - room + moved, TextSoFar()
        if not self._model.can_continue:
            self._so_far = TextSoFar()
        window = [*front, *self._ids[self._first :]] or [0]
        with torch.no_grad():
            return self._model.next_logits(torch.tensor([window]), self._so_far)[0].float().cpu()


def with_store(writer: Writer, loading: Loading, say: Say) -> LoadingWriter:
    """A writer that loads from a store.

    Raises: DataError or SpecError for a store or a retriever that cannot be had.
    """
    store = open_store(loading.store)
    run = str(writer.run.path)
    retriever = chosen(loading.retriever, run=run)
    finder = retriever.open(store, lambda _: ReadyModel(writer.model, writer.tokenizer))
    return LoadingWriter(writer, loading, loader_of(finder, writer.tokenizer, writer.model, loading.passages), say)


def loader_of(finder: Finder, tokenizer: FittedTokenizer, model: LanguageModel, passages: int) -> Loader:
    """A loader for the context of a model."""
    return Loader(finder, tokenizer, passages=passages, most_tokens=_most_loaded(model.context_tokens))


def _most_loaded(context_tokens: int) -> int:
    return int(_LOADED_FRACTION * context_tokens)


def _entropy_nats(logits_V: Tensor) -> float:
    return float(torch.special.entr(torch.softmax(logits_V, dim=-1)).sum())
