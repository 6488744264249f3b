"""Numbers that say how much a loss falls as a sequence grows, and since when in training it does.

Positions are counted in tokens seen: the first entry of a `loss_T` is after one token, so `loss_T[t - 1]` is L(t).
"""

from dataclasses import dataclass

import numpy as np

_LATE, _EARLY = 0.98, 0.10  # of the context
_FAR = 8  # far context is what lies beyond the last T / 8 tokens
_LATE_TOKENS, _EARLY_TOKENS, _LONG_TOKENS = 500, 50, 512


def far_place(context_tokens_K: np.ndarray) -> int:
    """Which k is the last up to an eighth of the context; the first where there is none.

    >>> far_place(np.array([1, 2, 4, 8, 16, 24])), far_place(np.array([1, 2]))
    (1, 0)
    """
    return max(0, int(np.searchsorted(context_tokens_K, context_tokens_K[-1] // _FAR, side="right")) - 1)


@dataclass(frozen=True)
class Onset:
    """When something set in: not yet at step `after`, from step `at` on. `after` is None where it was there at once."""

    after: int | None
    at: int


def score_positions(context_tokens: int) -> tuple[int, int]:
    """The tokens seen, late and early, whose losses the score compares.

    >>> score_positions(256), score_positions(512), score_positions(2048)
    ((251, 26), (500, 50), (500, 50))
    """
    if context_tokens >= _LONG_TOKENS:
        return _LATE_TOKENS, _EARLY_TOKENS
    return max(1, round(_LATE * context_tokens)), max(1, round(_EARLY * context_tokens))


def icl_score(loss_T: np.ndarray, *, around_tokens: int = 0) -> np.ndarray:
    """In-context learning score: the loss late in the context minus the loss early in it. Negative is good.

        L(0.98 T) - L(0.1 T)         and exactly L(500) - L(50) from T = 512 on

    One position is one target per window, so the score is noisy: with losses that scatter by 2 nats and 800 windows, a
    standard error of 0.1. Means over neighbors are steadier and near the same number, because L changes slowly there.

    Paper: In-context Learning and Induction Heads, Olsson et al., 2022, https://arxiv.org/abs/2209.11895: 500th minus
    50th token. Below T = 512 we take the same parts of the context.

    Args:
        loss_T: by tokens seen, T last; leading axes stay.
        around_tokens: positions on each side of both that are averaged, as far as there are.

    >>> icl_score(np.array([5.0] * 2 + [4.0] * 48)).round(6).item()
    0.0
    >>> icl_score(np.linspace(5.0, 4.0, 512)).round(3).item()
    -0.881
    """
    num_tokens = loss_T.shape[-1]
    late, early = (
        loss_T[..., max(0, t - 1 - around_tokens) : min(num_tokens, t + around_tokens)].mean(axis=-1)
        for t in score_positions(num_tokens)
    )
    return late - early


def slope_by_log(tokens_P: np.ndarray, loss_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How the loss changes per e-fold of tokens: finite differences between neighboring bins.

        dL / d ln t  ~  (L_{p+1} - L_p) / (ln t_{p+1} - ln t_p)      at t = sqrt(t_p t_{p+1})

    Args:
        tokens_P: rising, above 0.
        loss_P: bins last; leading axes stay.
    Shapes: places [P - 1] and slopes [..., P - 1] out.

    >>> t, slope = slope_by_log(np.array([1.0, 4.0, 16.0]), np.array([5.0, 4.0, 4.0]))
    >>> t.tolist(), slope.round(4).tolist()
    ([2.0, 8.0], [-0.7213, 0.0])
    """
    tokens_P = np.asarray(tokens_P, dtype=float)
    return np.sqrt(tokens_P[1:] * tokens_P[:-1]), np.diff(loss_P, axis=-1) / np.diff(np.log(tokens_P))


def onset(steps_S: np.ndarray, low_S: np.ndarray, *, above: float = 0.0) -> Onset | None:
    """The first stored step from which an interval stays above a number to the end of training; None if it never does.

    With `low_S` the lower end of L(early) - L(late), or of C(T / 8) - C(T), this is when context learning set in. It is
    known no better than the steps were stored, hence both ends.

    Args:
        steps_S: rising.
        low_S: lower end of the interval at each; not a number counts as not above.
        above: 0, or a part of what the number came to at the end.

    >>> onset(np.array([0, 1, 10, 100, 1000]), np.array([0.1, -0.1, 0.0, 0.2, 0.4]))
    Onset(after=10, at=100)
    >>> onset(np.array([0, 10]), np.array([0.3, -0.1])) is None
    True
    """
    not_yet = np.flatnonzero(~(np.asarray(low_S) > above))
    first = int(not_yet[-1]) + 1 if len(not_yet) else 0
    if first >= len(steps_S):
        return None
    return Onset(int(steps_S[first - 1]) if first else None, int(steps_S[first]))
