"""Which tokens a linear probe can read off the stream, whatever the model's own readout says."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from vslm.core.bounds import Real, Tokens
from vslm.core.errors import DataError, SpecError
from vslm.data.corpus import Corpus
from vslm.measure.measure import Evaluator, OnWindows, in_batches, windows_at_a_time
from vslm.measure.sections import TOKEN_PROBE
from vslm.measure.watch import watch
from vslm.models.language_model import LanguageModel

_EVERY = 4  # windows: of four in a row, three fit the probe and one tests it
_BACK = {"current": 0, "previous": 1}  # how far back the token stands that is asked for
_TINY = 1e-30  # instead of no variance at all, where the stream is the same everywhere


@dataclass(frozen=True, kw_only=True)
class TokenProbe(OnWindows):
    """How often a linear probe, fitted in closed form, names the current and the previous token, by visit.

        p(v | x) ~ pi_v exp(-1/2 (x - mu_v)' C^-1 (x - mu_v)),   C = within-class covariance + ridge * trace(S) / D * I

    mu_v is the mean stream at positions that hold v, pi_v their share, S the covariance of all positions: linear
    discriminant analysis with a ridge, whose answers are linear in x. It is fitted on three quarters of the windows and
    tested on the others, on positions whose token it has met.

    Beside `LogitLens.p_current` it tells whether the token can be read at all: the lens asks the model's own readout,
    which says little where that is untied, or where the stream has another width or another basis. Least squares on
    one column per token would not do: with more tokens than dimensions it answers with the frequent ones alone,
    even on a stream that is the bare embedding.

    Reference: The use of multiple measurements in taxonomic problems, Fisher, 1936,
    https://doi.org/10.1111/j.1469-1809.1936.tb02137.x; Understanding intermediate layers using linear classifier
    probes, Alain and Bengio, 2016, https://arxiv.org/abs/1610.01644, which fits its probes by gradient descent.
    Cost: one forward pass; per visit D ** 3 and, on a quarter of the tokens, D * V. Mean vectors of V tokens are kept.

    Args:
        num_evaluations: see `OnWindows`.
        num_tokens: see `OnWindows`; should be several times the width and the vocabulary.
        ridge: relative to the mean variance of the stream.
    Arrays, L = 1 + number of visits, the root's stream first: `accuracy_current_L`, `accuracy_previous_L`; and without
        axes `chance`, what naming the commonest token reaches.
    Raises: DataError, when built, where `val` has no window to test on.
    """

    recorded_as: ClassVar[str] = "token_probe"
    shown, arrays, numbers = TOKEN_PROBE.shown, TOKEN_PROBE.arrays, TOKEN_PROBE.numbers
    num_tokens: Tokens = 16_384
    ridge: Real = 1e-3

    def check(self) -> None:
        """Refuse a ridge of 0 or less."""
        super().check()
        if not 0 < self.ridge <= 1:
            raise SpecError("ridge", f"found {self.ridge}", "above 0 and at most 1 is needed")

    def build(self, *, model: LanguageModel, corpus: Corpus, context_tokens: int) -> Evaluator:
        windows_NT1 = self.windows(corpus, context_tokens)
        if len(windows_NT1) < _EVERY:
            found = f"TokenProbe on {len(windows_NT1)} windows of {context_tokens} tokens"
            raise DataError("measures", found, f"{_EVERY} or more are needed", "raise num_tokens or give more text")
        return TokenProbeEvaluator(windows_NT1, self.ridge)


class TokenProbeEvaluator(Evaluator):
    """See `TokenProbe`."""

    def __init__(self, windows_NT1: np.ndarray, ridge: float) -> None:
        is_test_N = np.arange(len(windows_NT1)) % _EVERY == _EVERY - 1
        self.fit_NT1, self.test_NT1, self.ridge = windows_NT1[~is_test_N], windows_NT1[is_test_N], ridge

    def take(self, model: LanguageModel) -> dict[str, np.ndarray | float]:
        """Over the positions of the test windows."""
        batch_windows = windows_at_a_time(self.fit_NT1.shape[1] - 1)
        vocabulary = int(max(self.fit_NT1.max(), self.test_NT1.max())) + 1
        sums: dict[tuple[str, str], _Sums] = {}
        right: dict[tuple[str, str], float] = {}
        with watch(model, "root", "path.*") as seen:
            for tokens_BT, _ in in_batches(self.fit_NT1, model, batch_windows):
                model(tokens_BT)
                for name, x_BTD in seen.items():
                    for asked, back in _BACK.items():
                        one = sums.setdefault((name, asked), _Sums(x_BTD[0, 0], vocabulary))
                        one.add(*_asked(x_BTD, tokens_BT, back))
            probes = {key: one.probe(self.ridge) for key, one in sums.items()}
            num_tested = dict.fromkeys(_BACK, 0)
            for tokens_BT, _ in in_batches(self.test_NT1, model, batch_windows):
                model(tokens_BT)
                for (name, asked), probe in probes.items():
                    x_ND, tokens_N = _asked(seen[name], tokens_BT, _BACK[asked])
                    is_known_N = probe.is_known_V[tokens_N]
                    is_right_N = probe.answers(x_ND) == tokens_N
                    right[name, asked] = right.get((name, asked), 0.0) + float((is_right_N & is_known_N).sum())
                    num_tested[asked] += int(is_known_N.sum()) if name == "root" else 0
        names = list(dict.fromkeys(name for name, _ in sums))
        accuracy = {
            f"accuracy_{asked}_L": np.array([right[name, asked] for name in names]) / max(num_tested[asked], 1)
            for asked in _BACK
        }
        return {**accuracy, "chance": self._chance()}

    def _chance(self) -> float:
        """The share, in the test, of the token that is commonest where the probe is fitted."""
        fit_N, test_N = self.fit_NT1[:, :-1].ravel(), self.test_NT1[:, :-1].ravel()
        known_N = test_N[np.isin(test_N, fit_N)]
        return float((known_N == np.bincount(fit_N).argmax()).mean()) if len(known_N) else float("nan")


def _asked(x_BTD: Tensor, tokens_BT: Tensor, back: int) -> tuple[Tensor, Tensor]:
    """The stream at every position that has a token `back` before it, and that token."""
    return x_BTD[:, back:].flatten(0, 1).double(), tokens_BT[:, : tokens_BT.shape[1] - back].flatten()


class _Sums:
    """What the probe needs of the stream, counted from one point of it."""

    def __init__(self, origin_D: Tensor, vocabulary: int) -> None:
        self.origin_D = origin_D.double()
        width = len(origin_D)
        self.count_V = torch.zeros(vocabulary, dtype=torch.float64, device=origin_D.device)
        self.sum_VD = torch.zeros(vocabulary, width, dtype=torch.float64, device=origin_D.device)
        self.products_DD = torch.zeros(width, width, dtype=torch.float64, device=origin_D.device)

    def add(self, x_ND: Tensor, tokens_N: Tensor) -> None:
        """Take more positions in."""
        x_ND = x_ND - self.origin_D
        self.count_V += torch.bincount(tokens_N, minlength=len(self.count_V))
        self.sum_VD.index_add_(0, tokens_N, x_ND)
        self.products_DD += x_ND.T @ x_ND

    def probe(self, ridge: float) -> "_Probe":
        """The discriminant of these positions."""
        count, width = self.count_V.sum(), len(self.origin_D)
        is_known_V = self.count_V > 0
        mean_VD = self.sum_VD / self.count_V.clamp(min=1)[:, None]
        mean_D = self.sum_VD.sum(dim=0) / count
        within_DD = self.products_DD - self.sum_VD.T @ mean_VD
        covariance_DD = within_DD / (count - is_known_V.sum()).clamp(min=1)
        variance = (self.products_DD.trace() / count - mean_D.square().sum()) / width
        ridge_DD = torch.eye(width, dtype=torch.float64, device=mean_D.device) * (ridge * variance).clamp(min=_TINY)
        slope_VD = torch.linalg.solve(covariance_DD + ridge_DD, mean_VD.T).T
        offset_V = (self.count_V / count).log() - (slope_VD * mean_VD).sum(dim=-1) / 2
        return _Probe(self.origin_D, slope_VD, offset_V, is_known_V)


@dataclass(frozen=True)
class _Probe:
    """Answers with the token whose `slope . (x - origin) + offset` is highest; minus infinity for those never met."""

    origin_D: Tensor
    slope_VD: Tensor
    offset_V: Tensor
    is_known_V: Tensor

    def answers(self, x_ND: Tensor) -> Tensor:
        """One token for each position."""
        return ((x_ND - self.origin_D) @ self.slope_VD.T + self.offset_V).argmax(dim=-1)
