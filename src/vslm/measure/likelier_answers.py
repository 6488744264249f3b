"""Whether right answers are likelier than wrong ones, of questions that were to be forgotten and of others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from vslm.core.bounds import Some
from vslm.core.errors import DataError, SpecError, VslmError
from vslm.data.corpus import Corpus
from vslm.data.sources.asked import Asked, written
from vslm.data.sources.questions import read_question_lines
from vslm.data.sources.source import Source
from vslm.data.tokenizers import FittedTokenizer
from vslm.measure.answer_accuracy import answers_of_rows
from vslm.measure.declared import Number
from vslm.measure.measure import Evaluator, Measure, log_spaced_steps
from vslm.measure.sections import LIKELIER_ANSWERS
from vslm.models.language_model import LanguageModel, Model


@dataclass(frozen=True, kw_only=True)
class LikelierAnswers(Measure):
    """Of questions with wrong answers beside the right one, the share whose right answer is likelier than each of them.

        nll(a) = - mean over tokens of a of ln p(token | question, tokens before)     closed book
        right: nll(paraphrase of the answer) < nll(w) for every wrong answer w
        probability: mean over questions of exp(-nll(answer)), the answer as it stands

    A line has `question`, `answer`, `perturbed_answer` (a list of wrong ones) and, if wrong answers are worded as a
    paraphrase of the right one is, `paraphrased_answer`, which is then compared with them: what was trained on word by
    word would win by its words alone. Who knows nothing is right about once in (1 + wrong answers), which is recorded
    as `chance`; wordings that differ in how common they are move it.

    Paper: TOFU, Maini et al., 2024, https://arxiv.org/abs/2401.06121, section 2.2, whose files have this form. We
    differ: a share of questions in place of the truth ratio, a mean of ratios.
    Cost: a pass over all answers of both files. Which files they are names a run, and what is in them does not.

    Args:
        forget: file of questions that are to be forgotten.
        retain: file of questions that are to be kept.
        num_questions: of each file, its first ones.
        num_evaluations: 1 at the end alone; 2 or more at log-spaced steps, both ends among them.
    Raises: SpecError where a file is not there, or is none.
    """

    recorded_as: ClassVar[str] = "likelier_answers"
    asks_its_own: ClassVar[bool] = True
    shown, arrays = LIKELIER_ANSWERS.shown, LIKELIER_ANSWERS.arrays
    numbers: ClassVar[Mapping[str, Number]] = LIKELIER_ANSWERS.numbers
    forget: str
    retain: str
    num_questions: Some = 400
    num_evaluations: Some = 1

    def check(self) -> None:
        """Refuse counts of nothing."""
        for name in ("num_questions", "num_evaluations"):
            if getattr(self, name) < 1:
                raise SpecError(name, f"found {getattr(self, name)}", "1 or more is needed")

    def steps(self, num_steps: int) -> list[int]:
        """The end, or log-spaced steps."""
        return log_spaced_steps(num_steps, self.num_evaluations)

    def check_fits(self, *, model: Model, source: Source) -> None:
        """The files are there, before any run."""
        del model, source
        for name in ("forget", "retain"):
            self._read(name)

    def _read(self, name: str) -> list[dict]:
        path = Path(getattr(self, name))
        try:
            if not path.is_file():
                raise DataError(str(path), "no such file", "JSON lines with perturbed answers are needed")
            lines = [line for _, line in zip(range(self.num_questions), read_question_lines(path), strict=False)]
            for where, line in lines:
                wrong = line.get("perturbed_answer")
                if not isinstance(wrong, list) or not wrong or not all(isinstance(one, str) for one in wrong):
                    found = "no wrong answers: perturbed_answer is no list of texts"
                    raise DataError(where, found, "a right answer is compared with them", "name another file")
        except VslmError as error:
            found = f"{error.where}: {error.found}"
            raise SpecError(f"measures.LikelierAnswers.{name}", found, error.allowed, error.do) from None
        return [line for _, line in lines]

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        del model
        files = {name: _File.of(self._read(name), corpus.tokenizer, context_tokens) for name in ("forget", "retain")}
        for name, file in files.items():
            if not file.rows:
                found = f"none of its questions fits into {context_tokens} tokens"
                raise DataError(f"measures.likelier_answers.{name}", found, "", "take a longer context")
        return LikelierAnswersEvaluator(files)


class _File(NamedTuple):
    """The answers of a file.

    Args:
        rows: ids, and which of them are the answer: of each question the one that is compared, its wrong ones, and the
            answer as it stands.
        ends: of each question, the number of rows up to its end.
        num_left_out: questions that the context does not hold.
    """

    rows: list[tuple[np.ndarray, np.ndarray]]
    ends: list[int]
    num_left_out: int

    @classmethod
    def of(cls, lines: Sequence[Mapping], tokenizer: FittedTokenizer, context_tokens: int) -> "_File":
        """Of its lines."""
        rows: list[tuple[np.ndarray, np.ndarray]] = []
        ends: list[int] = []
        for line in lines:
            right = line.get("paraphrased_answer") or line["answer"]
            some = [
                _row(line["question"], answer, tokenizer)
                for answer in (right, *line["perturbed_answer"], line["answer"])
            ]
            if max(len(ids) for ids, _ in some) <= context_tokens:
                rows += some
                ends.append(len(rows))
        return cls(rows, ends, len(lines) - len(ends))


def _row(question: str, answer: str, tokenizer: FittedTokenizer) -> tuple[np.ndarray, np.ndarray]:
    text, first = written(Asked("", 0, "", question, (answer,)), "")
    ids = tokenizer.encode(text)
    starts_N = np.cumsum(tokenizer.token_num_bytes[ids]) - tokenizer.token_num_bytes[ids]
    is_answer_N = starts_N >= len(text[:first].encode())
    is_answer_N[0] = False
    return ids, is_answer_N


class LikelierAnswersEvaluator(Evaluator):
    """See `LikelierAnswers`."""

    def __init__(self, files: Mapping[str, _File]) -> None:
        self._files = files

    def take(self, model: LanguageModel) -> dict[str, np.ndarray | float]:
        """Means over the questions of each file."""
        found: dict[str, np.ndarray | float] = {}
        chances = []
        for name, file in self._files.items():
            _, nats, _ = answers_of_rows(model, file.rows)
            nll = nats / np.array([is_answer.sum() for _, is_answer in file.rows])
            starts = [0, *file.ends[:-1]]
            right = [bool((nll[a] < nll[a + 1 : b - 1]).all()) for a, b in zip(starts, file.ends, strict=True)]
            chances += [1 / (b - a - 1) for a, b in zip(starts, file.ends, strict=True)]
            found[f"{name}_right"] = float(np.mean(right))
            found[f"{name}_probability"] = float(np.exp(-nll[np.array(file.ends) - 1]).mean())
            found[f"{name}_left_out"] = float(file.num_left_out)
        return found | {"chance": float(np.mean(chances))}
