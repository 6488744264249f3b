"""The effect of prompts that are cut from the validation text itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vslm.core.bounds import Context, Some
from vslm.core.errors import SpecError
from vslm.core.seeds import derive_seed
from vslm.data.corpus import Corpus
from vslm.data.windows import document_bounds
from vslm.measure.declared import Number
from vslm.measure.measure import Evaluator, Measure, log_spaced_steps
from vslm.measure.prompts import KINDS, prompt_effect
from vslm.models.language_model import LanguageModel

_FEWEST_PROMPTS = 2


@dataclass(frozen=True, kw_only=True)
class PromptEffect(Measure):
    """How much likelier the beginning of a document makes what follows it, and for how many tokens it matters.

    Prompts are the first tokens of documents of `val`, spread evenly over those that are long enough, and the
    continuation of each is what follows it there; where documents are too short, or there is but one, pieces of the
    text that are spread evenly. What is computed, and the controls, stand in `vslm.measure.prompts`. All prompts have
    the same length, so here the irrelevant prompt of equal length is simply the next document's.

    Cost: (2 I + 1) I passes over texts of about 3/4 of the context, for I = `num_prompts`; at the defaults and a
    context of 256, 57,600 tokens of forward pass. Measured on one core (4 blocks of width 64, 1,024 ids, eager fp32),
    2.6% of a run of 2M tokens and 1.0% of one of 5M.

    Args:
        num_prompts: I, 2 or more.
        prompt_tokens: of each; None: a quarter of the context.
        continuation_tokens: of each; None: half of the context. With the prompt and the separator they must fit it.
        num_evaluations: 1 takes it at the end alone; 2 or more at log-spaced steps, with both ends.
    Arrays, I prompts, J continuations (as many), T positions of a continuation from 0: `pmi_nats_IJ`;
        `pmi_shuffled_nats_I` and `pmi_irrelevant_nats_I`, each continuation with a control of its own prompt;
        `js_prompts_nats_T`, `js_shuffled_nats_T`, `js_irrelevant_nats_T`, `js_empty_nats_T`; and without axes
        `pmi_own_nats` and `pmi_other_nats`, the means of the diagonal and of the rest.
    Raises: SpecError, when built, for lengths that do not fit.
    """

    recorded_as: ClassVar[str] = "prompt_effect"
    numbers: ClassVar[Mapping[str, Number]] = {
        "pmi_own_nats": Number(
            unit="nats per continuation", higher_is_better=True, title="information of a prompt about its continuation"
        ),
        "pmi_other_nats": Number(
            unit="nats per continuation",
            higher_is_better=None,
            title="information of a prompt about other continuations",
        ),
    }
    num_prompts: Some = 12
    prompt_tokens: Context | None = None
    continuation_tokens: Context | None = None
    num_evaluations: Some = 1

    def check(self) -> None:
        """Refuse counts that leave nothing."""
        if self.num_prompts < _FEWEST_PROMPTS:
            raise SpecError("num_prompts", f"found {self.num_prompts}", f"{_FEWEST_PROMPTS} or more are needed")
        for name in ("prompt_tokens", "continuation_tokens", "num_evaluations"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SpecError(name, f"found {value}", "1 or more is needed")

    def steps(self, num_steps: int) -> list[int]:
        """The end, or log-spaced steps."""
        return log_spaced_steps(num_steps, self.num_evaluations)

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        prompt_tokens = self.prompt_tokens or max(1, context_tokens // 4)
        continuation_tokens = self.continuation_tokens or max(1, context_tokens // 2)
        if prompt_tokens + continuation_tokens > context_tokens:
            found = f"{prompt_tokens} tokens of prompt and {continuation_tokens} of continuation"
            allowed = f"together at most model.context_tokens, {context_tokens}, are possible"
            raise SpecError("PromptEffect", found, allowed)
        separator = corpus.tokenizer.end_of_text
        texts = cut(
            np.asarray(corpus.evaluated.tokens),
            separator,
            num=self.num_prompts,
            length=prompt_tokens + continuation_tokens,
        )
        return PromptEffectEvaluator(texts[:, :prompt_tokens], texts[:, prompt_tokens:], separator or 0)


class PromptEffectEvaluator(Evaluator):
    """See `PromptEffect`."""

    def __init__(self, prompts_IT: np.ndarray, continuations_IT: np.ndarray, start: int) -> None:
        self.prompts_IT, self.continuations_IT, self.start = prompts_IT, continuations_IT, start

    def take(self, model: LanguageModel) -> dict[str, np.ndarray | float]:
        """The same shuffles each time: they are drawn from a seed of their own."""
        rng = np.random.default_rng(derive_seed("prompts"))
        found = prompt_effect(model, list(self.prompts_IT), list(self.continuations_IT), start=self.start, rng=rng)
        is_own_IJ = np.eye(len(self.prompts_IT), dtype=bool)
        return {
            "pmi_nats_IJ": found.pmi_nats_IJ,
            "pmi_shuffled_nats_I": np.diagonal(found.pmi_shuffled_nats_IJ),
            "pmi_irrelevant_nats_I": np.diagonal(found.pmi_irrelevant_nats_IJ),
            "pmi_own_nats": found.pmi_nats_IJ[is_own_IJ].mean(),
            "pmi_other_nats": found.pmi_nats_IJ[~is_own_IJ].mean(),
            **{f"js_{kind}_nats_T": found.js_nats[kind].mean(axis=0) for kind in KINDS},
        }


def cut(tokens: np.ndarray, separator: int | None, *, num: int, length: int) -> np.ndarray:
    """`num` texts of `length` tokens: beginnings of documents if that many are long enough, else pieces, evenly spread.

    Args:
        tokens: documents in a row, `separator` after each.
        separator: None: one document.
    Shapes: int64 [num, length].
    Raises: SpecError if the text is shorter than one.

    >>> cut(np.array([5, 6, 7, 0, 8, 0, 9, 5, 0]), 0, num=2, length=2).tolist()
    [[5, 6], [9, 5]]
    """
    if len(tokens) < length:
        raise SpecError("PromptEffect", f"{len(tokens):,} tokens of val", f"{length:,} are needed for one text")
    starts = np.empty(0, dtype=np.int64)
    if separator is not None:
        begins, ends = document_bounds(tokens, separator)
        starts = begins[ends - begins >= length]
    if len(starts) < num:
        starts = np.arange(len(tokens) - length + 1)
    picked = starts[np.linspace(0, len(starts) - 1, num).round().astype(int)]
    return tokens[picked[:, None] + np.arange(length)].astype(np.int64)
