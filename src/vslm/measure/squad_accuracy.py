"""What a model answers to questions about paragraphs, and whether it needed the paragraph."""

import re
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from vslm.core.bounds import Some
from vslm.core.errors import DataError, SpecError
from vslm.data.corpus import Corpus
from vslm.data.reading.folders import listing
from vslm.data.sources.source import Source
from vslm.data.sources.squad import Squad, read_squad
from vslm.data.tokenizers import FittedTokenizer
from vslm.measure.answer_accuracy import answers_of_rows
from vslm.measure.declared import Array, Axis, Number, Shown
from vslm.measure.measure import Evaluator, Measure, log_spaced_steps
from vslm.models.generation import generate
from vslm.models.language_model import LanguageModel, Model

WAYS = ("own", "shuffled", "none")
_CTX, _QUESTION, _ANSWER = "<ctx>", " <q> ", " <a>"
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_MARKS = str.maketrans("", "", string.punctuation)
_IN_FRONT = Axis(title="paragraph in front", names=("its own", "of another question", "none"))
_SHARE = "of the questions"


def _number(title: str) -> Number:
    return Number.share(unit=_SHARE, higher_is_better=True, title=title)


@dataclass(frozen=True, kw_only=True)
class SquadAccuracy(Measure):
    """Exact match and F1 of the answers that a model writes to questions of `Squad`, and of those without a paragraph.

        exact match   1 where normalized answer and truth are the same text, else 0
        F1            2 p r / (p + r) over their words as bags: p = shared / in the answer, r = shared / in the truth

    Normalized: small letters, without punctuation, without "a", "an", "the", single spaces, as in the evaluation of
    SQuAD. The answer is what greedy decoding writes up to the end of the line, `most_tokens` at most. Each question is
    asked with its own paragraph, with that of another question ("shuffled"), and with none. What is right without the
    paragraph is known or guessed; only the rest is reading.

    Questions are the first `num_examples` of the evaluated split, as they stand there, with the one answer that the
    corpus has. With `path` they are those of another file, as many, spread over it, and an answer is as good as it is
    against the best of the answers given there. Then arms whose corpora differ are asked the same, and may be judged by
    it; without `path` they may not, since splits are by the text of an example, its paragraph among it.

    Paper: SQuAD: 100,000+ Questions for Machine Comprehension of Text, Rajpurkar et al., 2016,
    https://arxiv.org/abs/1606.05250, section 6.1. We differ: without `path` truth is the first answer alone.
    Cost: 3 x num_examples times the example's tokens, and as many again as are written; one question at a time.

    Args:
        path: of a file in the format of SQuAD whose questions are asked; None: those of the corpus.
        num_examples: questions; of a file at most, since those that the context does not hold are left out and counted.
        most_tokens: of an answer.
        num_evaluations: 1 at the end alone; 2 or more at log-spaced steps, both ends among them.
    Numbers and arrays: `exact_match`, `f1` with the question's own paragraph (that of the corpus), the same with the
        ending `_shuffled` and `_none`; `nats`, the loss of the true answer with the line end behind it, summed over its
        tokens; `exact_match_W`, `f1_W` and `nats_W` of all three.
    Raises: SpecError for other data; DataError for a file that is not there or is none, and where there is no question
        that fits, or no paragraph for a control.
    """

    recorded_as: ClassVar[str] = "squad"
    shown: ClassVar[Shown | None] = Shown(
        title="What is answered about paragraphs",
        short="SQuAD",
        read="Questions answered by greedy decoding: with their own paragraph, with that of "
        "another question, and with none. Exact match and F1 are those of SQuAD. "
        "What is right with another paragraph or with none is known or guessed, and not read.",
    )
    arrays: ClassVar[Mapping[str, Array]] = {
        "nats_W": Array(axes=(_IN_FRONT,), unit="nats", title="loss of the true answer", button="loss", from_zero=True),
        "f1_W": Array(axes=(_IN_FRONT,), unit="F1", title="words shared with the truth", button="F1", from_zero=True),
        "exact_match_W": Array(
            axes=(_IN_FRONT,), unit=_SHARE, title="answered exactly", button="exact match", from_zero=True
        ),
    }
    numbers: ClassVar[Mapping[str, Number]] = {
        "exact_match": _number("answered exactly, with their paragraph"),
        "f1": Number.share(unit="F1", higher_is_better=True, title="words shared with the truth, with their paragraph"),
        "exact_match_shuffled": _number("answered exactly, with another paragraph"),
        "f1_shuffled": Number.share(unit="F1", higher_is_better=True, title="words shared, with another paragraph"),
        "exact_match_none": _number("answered exactly, without a paragraph"),
        "f1_none": Number.share(unit="F1", higher_is_better=True, title="words shared, without a paragraph"),
        "nats": Number(unit="nats per answer", higher_is_better=False, title="loss of the true answer"),
        "num_questions": Number(unit="questions", higher_is_better=None, title="questions asked"),
        "num_left_out": Number(unit="questions", higher_is_better=None, title="questions too long for the context"),
    }
    path: str | None = None
    num_examples: Some = 100
    most_tokens: Some = 24
    num_evaluations: Some = 1

    def check(self) -> None:
        """Refuse counts below one."""
        for name in ("num_examples", "most_tokens", "num_evaluations"):
            if getattr(self, name) < 1:
                raise SpecError(name, f"found {getattr(self, name)}", "1 or more is needed")

    @property
    def asks_its_own(self) -> bool:  # type: ignore[override]
        """Of a file it does."""
        return self.path is not None

    def steps(self, num_steps: int) -> list[int]:
        """The end, or log-spaced steps."""
        return log_spaced_steps(num_steps, self.num_evaluations)

    def check_fits(self, *, model: Model, source: Source) -> None:
        """Questions are those of `Squad`, or of what wraps it."""
        del model
        if self.path is not None:
            _file_of(self.path)
        while (inner := getattr(source, "source", None)) is not None:
            source = inner
        if not isinstance(source, Squad):
            found = f"SquadAccuracy with data={type(source).__name__}"
            raise SpecError("measures", found, "only Squad has such questions", "change data, or leave it out")

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        del model
        tokenizer, num_left_out = corpus.tokenizer, 0
        if self.path is None:
            asked = list(_questions(corpus, self.num_examples))
        else:
            chosen = _of_file(self.path, self.num_examples, is_choosing=corpus.evaluated_split == "select")
            asked = [one for one in chosen if len(one.row(one.paragraph, tokenizer).ids) <= context_tokens]
            num_left_out = len(chosen) - len(asked)
        if not asked:
            found = f"no question of {self.path or corpus.evaluated_split} fits into {context_tokens} tokens"
            raise DataError("measures.squad", found, "questions with their paragraphs are needed", "give others")
        rows = {
            "own": [one.row(one.paragraph, tokenizer) for one in asked],
            "shuffled": [_with_another(asked, n, tokenizer, context_tokens) for n in range(len(asked))],
            "none": [one.row("", tokenizer) for one in asked],
        }
        truths = [one.answers for one in asked]
        return SquadAccuracyEvaluator(rows, truths, tokenizer, self.most_tokens, num_left_out=num_left_out)


def _file_of(path: str) -> Path:
    """The one file. Raises: DataError where there is none, or several."""
    files = listing(path).files
    if len(files) != 1:
        raise DataError(path, f"found {len(files)} files", "one in the format of SQuAD is needed", "name it")
    return files[0].file


def _of_file(path: str, most: int, *, is_choosing: bool) -> "list[_Asked]":
    """Questions spread evenly over a file; a run that chooses is asked those half a step further on."""
    found = [one for one in read_squad(_file_of(path)) if one.answers]
    step = max(1.0, len(found) / most)
    places = [int((n + 0.5 * is_choosing) * step) for n in range(min(most, len(found)))]
    if is_choosing and step < 2:  # they would be asked again
        raise DataError(path, f"{len(found):,} questions", f"{2 * most:,} are needed where something is chosen", "")
    return [
        _Asked(" ".join(one.paragraph.split()), " ".join(one.question.split()), tuple(map(str.strip, one.answers)))
        for one in (found[place] for place in places if place < len(found))
    ]


class _Row(NamedTuple):
    """An example as ids, and how many of them stand before the answer."""

    ids: np.ndarray
    num_before: int


class _Asked(NamedTuple):
    """A question, the paragraph that stands in front of it, and what is right."""

    paragraph: str
    question: str
    answers: tuple[str, ...]

    def row(self, paragraph: str, tokenizer: FittedTokenizer) -> _Row:
        """With a paragraph in front, or none."""
        prompt = f"{_CTX}{f' {paragraph}' if paragraph else ''}{_QUESTION}{self.question}{_ANSWER}"
        ids = tokenizer.encode(f"{prompt} {self.answers[0]}\n")
        return _Row(ids, len(tokenizer.encode(prompt)))


def _questions(corpus: Corpus, most: int) -> Iterator[_Asked]:
    """The first questions of the evaluated split, from its tokens: whole documents between separators."""
    tokens_N, separator = corpus.evaluated.tokens, corpus.tokenizer.end_of_text
    ends = np.flatnonzero(np.asarray(tokens_N) == separator)
    count, start = 0, 0
    for end in ends.tolist():
        text = corpus.tokenizer.decode(tokens_N[start:end].astype(np.int64).tolist()) if end > start else ""
        start = end + 1
        if (found := _read(text)) is not None and count < most:
            count += 1
            yield found


def _read(text: str) -> _Asked | None:
    """A document of `Squad` as its parts; None for another text.

    >>> _read("<ctx> Ann came. <q> Who came? <a> Ann\\n")
    _Asked(paragraph='Ann came.', question='Who came?', answers=('Ann',))
    >>> _read("Ann came.")
    """
    before, mark, answer = text.rpartition(_ANSWER)
    context, has_question, question = before.rpartition(_QUESTION)
    if not mark or not has_question or not context.startswith(_CTX):
        return None
    return _Asked(context.removeprefix(_CTX).strip(), question, (answer.strip(),))


def _with_another(asked: Sequence[_Asked], number: int, tokenizer: FittedTokenizer, context_tokens: int) -> _Row:
    """A question with the paragraph of another one, half of the list away or the next behind that, that fits.

    Raises: DataError where there is none.
    """
    one = asked[number]
    if not one.paragraph:
        return one.row("", tokenizer)  # a corpus without paragraphs: both controls are the same
    for step in range(len(asked)):
        other = asked[(number + len(asked) // 2 + step) % len(asked)].paragraph
        if other and other != one.paragraph:
            row = one.row(other, tokenizer)
            if len(row.ids) <= context_tokens:
                return row
    found = f"no other paragraph fits to {one.question!r}"
    raise DataError("measures.squad", found, "questions about two paragraphs are needed", "raise num_examples")


class SquadAccuracyEvaluator(Evaluator):
    """See `SquadAccuracy`.

    Args:
        rows: of every question, by `WAYS`.
        truths: the answers that are right, of each.
        tokenizer: of the corpus.
        most_tokens: of an answer.
    """

    def __init__(
        self,
        rows: Mapping[str, Sequence[_Row]],
        truths: Sequence[Sequence[str]],
        tokenizer: FittedTokenizer,
        most_tokens: int,
        *,
        num_left_out: int,
    ) -> None:
        self._rows, self._truths = rows, truths
        self._tokenizer, self._most_tokens, self._num_left_out = tokenizer, most_tokens, num_left_out

    def take(self, model: LanguageModel) -> dict[str, np.ndarray | float]:
        """Means over questions."""
        said = {way: [self._answer(model, ids[:before]) for ids, before in self._rows[way]] for way in WAYS}
        pairs = {way: list(zip(said[way], self._truths, strict=True)) for way in WAYS}
        exact_W, f1_W = (
            np.array([np.mean([max(score(one, truth) for truth in truths) for one, truths in pairs[w]]) for w in WAYS])
            for score in (exact_match, f1)
        )
        nats_W = np.array([self._nats(model, self._rows[way]) for way in WAYS])
        numbers = {
            "num_questions": float(len(self._truths)),
            "num_left_out": float(self._num_left_out),
            "nats": float(nats_W[0]),
        }
        for place, ending in enumerate(("", "_shuffled", "_none")):
            numbers |= {f"exact_match{ending}": float(exact_W[place]), f"f1{ending}": float(f1_W[place])}
        return numbers | {"exact_match_W": exact_W, "f1_W": f1_W, "nats_W": nats_W}

    def _nats(self, model: LanguageModel, rows: Sequence[_Row]) -> float:
        """The loss of the true answers, mean over questions."""
        whole = [(ids, np.arange(len(ids)) >= before) for ids, before in rows]
        return float(answers_of_rows(model, whole)[1].mean())

    def _answer(self, model: LanguageModel, ids_T: np.ndarray) -> str:
        """What greedy decoding writes up to the end of the line."""
        device, generator = next(model.parameters()).device, torch.Generator()
        prompt_T = torch.from_numpy(ids_T.astype(np.int64)).to(device)
        written: list[int] = []
        for token in generate(model, prompt_T, num_tokens=self._most_tokens, temperature=0, generator=generator):
            written.append(token)
            text = self._tokenizer.decode(written)
            if token == self._tokenizer.end_of_text or "\n" in text.strip(" "):
                break
        ended = written[:-1] if written and written[-1] == self._tokenizer.end_of_text else written
        return self._tokenizer.decode(ended).strip(" ").partition("\n")[0]


def normalized(text: str) -> str:
    """Small letters, without punctuation and articles, single spaces.

    >>> normalized("The  U.S. Army, a unit")
    'us army unit'
    """
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_MARKS)).split())


def exact_match(answer: str, truth: str) -> float:
    """1 where both are the same, normalized.

    >>> exact_match("The Army.", "army"), exact_match("Navy", "army")
    (1.0, 0.0)
    """
    return float(normalized(answer) == normalized(truth))


def f1(answer: str, truth: str) -> float:
    """The harmonic mean of the shares of words that both have, each word as often as it stands in both.

    >>> round(f1("the green green boat", "green boat of Ann"), 3), f1("", "the"), f1("x", "")
    (0.571, 1.0, 0.0)
    """
    said, true = normalized(answer).split(), normalized(truth).split()
    if not said or not true:
        return float(said == true)
    shared = sum((Counter(said) & Counter(true)).values())
    return 0.0 if not shared else 2 * shared / (len(said) + len(true))
