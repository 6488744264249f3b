"""What the model's probabilities are in the first steps of training: from flat, to the language's own statistics?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch.nn import functional

from vslm.core.bounds import Some, Tokens
from vslm.core.errors import SpecError
from vslm.data.corpus import Corpus
from vslm.data.ngrams import NOTHING, ORDERS, NGrams, ngrams_of
from vslm.data.windows import evaluation_windows
from vslm.measure.calibration import Calibration
from vslm.measure.declared import Number
from vslm.measure.measure import Evaluator, Measure, in_batches, windows_at_a_time
from vslm.models.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class EarlyDays(Measure):
    """Mean token probability, distance to n-gram models and calibration, at steps 0, 1, 2, 4, 8 ... and the last.

        p_true      = mean_t p(x_{t+1} | x_<=t)                     arithmetic mean
        p_geometric = exp(mean_t log p(x_{t+1} | x_<=t))            exp(-loss)
        entropy     = mean_t -sum_v p(v | x_<=t) log p(v | x_<=t)
        q(v)        = mean_t p(v | x_<=t)                           the model's marginal
        kl_marginal = sum_v f(v) log(f(v) / q(v)),   tv_marginal = 1/2 sum_v |f(v) - q(v)|
        kl_n        = mean_t sum_v p_n(v | x) log(p_n(v | x) / p(v | x_<=t))

    p_n are the n-gram models of the training split (`vslm.data.ngrams`: interpolated Kneser-Ney; p_0 is uniform), f the
    unigram one. At a window's first position, where the model sees one token, the trigram model is the bigram one.

    Beside the model's own numbers stand those of the n-gram models on the same windows, as reference lines: p_true (1 /
    V, sum_v f(v)^2 up to the choice of windows, ...), p_geometric = exp(-H_n) with H_n their cross-entropy there, their
    entropy, and how far their marginal is from f, which is what a finite number of windows leaves.

    Papers: Word Acquisition in Neural Language Models, Chang and Bergen, 2022, https://arxiv.org/abs/2110.02406; Neural
    Networks Learn Statistics of Increasing Complexity, Belrose et al., 2024, https://arxiv.org/abs/2402.04362.
    Calibration: see `Calibration`.
    Cost: a forward pass of `num_tokens` at each step and half as much again for the probabilities. Measured on one core
    (4 blocks of width 64, 1,024 ids, eager fp32), 13 evaluations are 1.7% of a run of 2M tokens and 14 are 0.7% of one
    of 5M; where training is compiled, up to twice that. Before the first step n-grams are counted, once per corpus.

    Args:
        num_tokens: validation tokens at each step, rounded up to whole windows.
        steps_per_doubling: how finely steps are spaced, and so how finely a minimum is placed.
    Arrays, G orders of n-gram models from 0, P bins of probability: `kl_nats_G`; of the n-gram models themselves
        `ngram_p_true_G`, `ngram_p_geometric_G`, `ngram_entropy_nats_G` and `ngram_kl_marginal_nats_G`;
        `calibration_count_P`, `calibration_hits_P`, `calibration_p_P`; and without axes `p_true`, `p_geometric`,
        `entropy_nats`, `kl_marginal_nats`, `tv_marginal`, `calibration_error`.
    """

    recorded_as: ClassVar[str] = "early_days"
    numbers: ClassVar[Mapping[str, Number]] = {
        "p_true": Number.share(
            unit="in probability", higher_is_better=True, title="mean probability of the next token"
        ),
        "p_geometric": Number.share(
            unit="in probability", higher_is_better=True, title="geometric mean probability of the next token"
        ),
        "entropy_nats": Number(
            unit="nats per token", higher_is_better=None, title="entropy of the model's distribution"
        ),
        "kl_marginal_nats": Number(
            unit="nats", higher_is_better=False, title="divergence of the model's marginal from unigram frequencies"
        ),
        "tv_marginal": Number.share(
            unit="in probability",
            higher_is_better=False,
            title="total variation of the marginal from unigram frequencies",
        ),
        "calibration_error": Number.share(unit="in probability", higher_is_better=False, title="calibration error"),
    }
    num_tokens: Tokens = 4096
    steps_per_doubling: Some = 1

    def check(self) -> None:
        """Refuse counts below one."""
        for name in ("num_tokens", "steps_per_doubling"):
            if getattr(self, name) < 1:
                raise SpecError(name, f"found {getattr(self, name)}", "1 or more is needed")

    def steps(self, num_steps: int) -> list[int]:
        """0, then powers of two with as many steps between them as wanted, and the last.

        >>> EarlyDays().steps(20), EarlyDays(steps_per_doubling=2).steps(20)
        ([0, 1, 2, 4, 8, 16, 20], [0, 1, 2, 3, 4, 6, 8, 11, 16, 20])
        """
        num_places = math.floor(math.log2(max(num_steps, 1)) * self.steps_per_doubling + 1e-9)
        places = (round(2 ** (place / self.steps_per_doubling)) for place in range(num_places + 1))
        return sorted({0, num_steps, *(step for step in places if step <= num_steps)})

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        windows_NT1 = evaluation_windows(
            corpus.evaluated.tokens, context_tokens=context_tokens, num_tokens=self.num_tokens
        )
        return EarlyDaysEvaluator(windows_NT1, ngrams_of(corpus))


@dataclass(frozen=True)
class _Expected:
    """What is kept of p_n for one batch: `mean over n of log q` needs every different (position, token) once.

    sum_t sum_v p_n(v | x_t) log q_t(v) = sum of p_X * log_q[index_X]  +  rest_N @ (log_q_NV @ base_V)
    """

    index_X: torch.Tensor
    p_X: torch.Tensor
    rest_N: torch.Tensor
    base_V: torch.Tensor

    def of(self, log_q_NV: torch.Tensor) -> float:
        """The sum for this model."""
        device = log_q_NV.device
        sparse = log_q_NV.flatten()[self.index_X.to(device)].double() @ self.p_X.to(device)
        dense = (log_q_NV @ self.base_V.to(device)).double() @ self.rest_N.to(device)
        return float(sparse + dense)


class EarlyDaysEvaluator(Evaluator):
    """See `EarlyDays`. What the n-gram models say of the windows is computed once, when it is built."""

    def __init__(self, windows_NT1: np.ndarray, ngrams: NGrams) -> None:
        self.windows_NT1 = windows_NT1
        self.unigram_V = ngrams.unigram_V
        self.batch_windows = windows_at_a_time(windows_NT1.shape[1] - 1)
        num_orders, num_batches = len(ORDERS), -(-len(windows_NT1) // self.batch_windows)
        self.expected: list[list[_Expected]] = [[] for _ in range(num_batches)]
        negative_entropy_G, loss_G, p_true_G = np.zeros((3, num_orders))
        marginal_GV = np.zeros((num_orders, ngrams.vocabulary))
        for number, batch in enumerate(self.expected):
            part = windows_NT1[number * self.batch_windows :][: self.batch_windows]
            contexts_N2, targets_N = contexts_of(part), part[:, 1:].flatten()
            for order in ORDERS:
                rows = ngrams.rows(order, contexts_N2)
                p_NV = rows.dense()
                negative_entropy_G[order] += (p_NV * np.log(p_NV)).sum()
                p_N = p_NV[np.arange(len(targets_N)), targets_N]
                loss_G[order] -= np.log(p_N).sum()
                p_true_G[order] += p_N.sum()
                marginal_GV[order] += p_NV.sum(axis=0)
                batch.append(
                    _Expected(
                        torch.from_numpy(rows.row_X * ngrams.vocabulary + rows.token_X),
                        torch.from_numpy(rows.p_X),
                        torch.from_numpy(rows.rest_N),
                        torch.from_numpy(rows.base_V).float(),
                    )
                )
        num_targets = windows_NT1[:, 1:].size
        self.negative_entropy_G = negative_entropy_G / num_targets
        self.of_ngrams = {
            "ngram_p_true_G": p_true_G / num_targets,
            "ngram_p_geometric_G": np.exp(-loss_G / num_targets),
            "ngram_entropy_nats_G": -self.negative_entropy_G,
            "ngram_kl_marginal_nats_G": np.array([_kl(self.unigram_V, row_V / num_targets) for row_V in marginal_GV]),
        }

    def take(self, model: LanguageModel) -> dict[str, np.ndarray | float]:
        """Means over the positions of all windows."""
        p_true = loss = entropy = 0.0
        expected_G, marginal_V = np.zeros(len(ORDERS)), np.zeros(len(self.unigram_V))
        calibration = Calibration()
        batches = in_batches(self.windows_NT1, model, self.batch_windows)
        for batch, (tokens_BT, targets_BT) in zip(self.expected, batches, strict=True):
            log_q_NV = functional.log_softmax(model(tokens_BT).flatten(0, 1).float(), dim=-1)
            q_NV = log_q_NV.exp()
            log_true_N = log_q_NV.gather(1, targets_BT.reshape(-1, 1)).double()
            p_true += float(log_true_N.exp().sum())
            loss -= float(log_true_N.sum())
            # A logit of minus infinity has probability 0 and adds nothing.
            entropy -= float((q_NV * log_q_NV.clamp(min=torch.finfo(torch.float32).min)).sum(dim=-1).double().sum())
            marginal_V += q_NV.sum(dim=0).double().cpu().numpy()
            expected_G += [expected.of(log_q_NV) for expected in batch]
            calibration.add(q_NV.cpu().numpy(), targets_BT.flatten().cpu().numpy())
        num_targets = self.windows_NT1[:, 1:].size
        marginal_V /= num_targets
        return {
            "p_true": p_true / num_targets,
            "p_geometric": math.exp(-loss / num_targets),
            "entropy_nats": entropy / num_targets,
            "kl_marginal_nats": _kl(self.unigram_V, marginal_V),
            "tv_marginal": float(np.abs(self.unigram_V - marginal_V).sum() / 2),
            "kl_nats_G": self.negative_entropy_G - expected_G / num_targets,
            **self.of_ngrams,
            **calibration.numbers(num_targets),
        }


def contexts_of(windows_NT1: np.ndarray) -> np.ndarray:
    """The last two tokens before every target, [N * T, 2]; `NOTHING` where a window has seen but one.

    >>> contexts_of(np.array([[7, 8, 9]])).tolist()
    [[-1, 7], [7, 8]]
    """
    before_NT = np.pad(windows_NT1[:, :-2], ((0, 0), (1, 0)), constant_values=NOTHING)
    return np.stack([before_NT, windows_NT1[:, :-1]], axis=-1).reshape(-1, 2)


def _kl(p_V: np.ndarray, q_V: np.ndarray) -> float:
    with np.errstate(divide="ignore"):  # what the model holds impossible is infinitely far
        return float((p_V * (np.log(p_V) - np.log(q_V))).sum())
