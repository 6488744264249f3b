"""What a prompt does to what follows: how much likelier it makes a continuation, and for how many tokens it matters.

    pmi_ij = log p(c_j | P_i) - log p(c_j)                                 pointwise mutual information, nats
    js_k(P, Q) = H((p + q) / 2) - (H(p) + H(q)) / 2                        Jensen-Shannon divergence, 0 to ln 2 nats
                 of p = p(. | P, c_<k) and q = p(. | Q, c_<k), mean over the continuations c; k = 0 is the first token

Every text begins with the corpus's separator, and the empty prompt is the separator alone; a continuation's tokens are
the same under every prompt. js is taken between all pairs of prompts, and as controls between every prompt and

    its tokens shuffled         what of its effect is its words and not their order
    another, of equal length    what of a difference between prompts is their length (the next prompt, cut or repeated)
    the empty prompt            what having any prompt does

Papers: Divergence measures based on the Shannon entropy, Lin, 1991, for the divergence; Word association norms, mutual
information, and lexicography, Church and Hanks, 1990, for pmi, here of whole texts under a model.
Cost: (3 I + 1) J forward passes for I prompts and J continuations, and I^2 J / 2 divergences per position.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vslm.measure.measure import evaluating, windows_at_a_time
from vslm.models.language_model import LanguageModel

KINDS = ("prompts", "shuffled", "irrelevant", "empty")
"""What a prompt is compared with, in the order of this page: other prompts, and the three controls."""


@dataclass(frozen=True)
class Effect:
    """What was found. I prompts, J continuations, Q pairs of prompts, T positions that every continuation has.

    Args:
        pmi_nats_IJ: of each continuation with each prompt.
        pmi_shuffled_nats_IJ, pmi_irrelevant_nats_IJ: with the prompt's controls.
        log_p_nats_J: log-probability of each continuation after nothing.
        js_nats: by what is compared (`KINDS`): [pairs, T].
        members: the prompts of each pair, [pairs, 2]; twice the same for a prompt and its control.
    """

    pmi_nats_IJ: np.ndarray
    pmi_shuffled_nats_IJ: np.ndarray
    pmi_irrelevant_nats_IJ: np.ndarray
    log_p_nats_J: np.ndarray
    js_nats: dict[str, np.ndarray]
    members: dict[str, np.ndarray]


def prompt_effect(
    model: LanguageModel,
    prompts: Sequence[np.ndarray],
    continuations: Sequence[np.ndarray],
    *,
    start: int,
    rng: np.random.Generator,
) -> Effect:
    """Measure it. The model is put in evaluation mode and left as it was.

    Args:
        model: on whatever device.
        prompts: ids of two prompts or more, each of one token or more, without a separator.
        continuations: ids of each; start + prompt + continuation less its last token must fit the context.
        start: the separator.
        rng: of the shuffles.
    """
    num_prompts = len(prompts)
    shuffled = [rng.permutation(prompt) for prompt in prompts]
    irrelevant = [np.resize(prompts[(i + 1) % num_prompts], len(prompts[i])) for i in range(num_prompts)]
    texts = [np.concatenate([[start], text]) for text in ([], *prompts, *shuffled, *irrelevant)]
    length = min(len(ids) for ids in continuations)
    pairs_Q2 = np.array([(i, j) for i in range(num_prompts) for j in range(i + 1, num_prompts)]).reshape(-1, 2)
    own_I2 = np.repeat(np.arange(num_prompts)[:, None], 2, axis=1)
    log_p_XJ = np.empty((len(texts), len(continuations)))
    js = {kind: np.zeros((len(pairs_Q2) if kind == "prompts" else num_prompts, length)) for kind in KINDS}
    with evaluating(model):
        for j, ids in enumerate(continuations):
            log_p_XJ[:, j], p_XTV = _under_each(model, texts, ids, length)
            entropy_XT = torch.special.entr(p_XTV).sum(dim=-1, dtype=torch.float64)
            groups = p_XTV[1:].split(num_prompts), entropy_XT[1:].split(num_prompts)
            (mine_p, *control_p), (mine_h, *control_h) = groups
            js["prompts"] += _between_pairs(mine_p, mine_h)
            for kind, p_ITV, h_IT in zip(KINDS[1:], (*control_p, p_XTV[:1]), (*control_h, entropy_XT[:1]), strict=True):
                js[kind] += _divergence(mine_p, mine_h, p_ITV, h_IT)
    pmi_XJ = log_p_XJ[1:] - log_p_XJ[:1]
    return Effect(
        *np.split(pmi_XJ, 3),
        log_p_nats_J=log_p_XJ[0],
        js_nats={kind: total / len(continuations) for kind, total in js.items()},
        members={kind: pairs_Q2 if kind == "prompts" else own_I2 for kind in KINDS},
    )


def _under_each(
    model: LanguageModel, texts: Sequence[np.ndarray], ids: np.ndarray, length: int
) -> tuple[np.ndarray, Tensor]:
    """log p of a continuation after each text, and the distributions of its first tokens, p_XTV.

    Texts of any lengths go together: what stands behind a position does not change it, so they are filled up behind.
    """
    device = next(model.parameters()).device
    longest = max(len(text) for text in texts) + len(ids) - 1
    tokens_XT = np.zeros((len(texts), longest), dtype=np.int64)
    for row_T, text in zip(tokens_XT, texts, strict=True):
        row_T[: len(text) + len(ids) - 1] = np.concatenate([text, ids[:-1]])
    at_once = windows_at_a_time(longest)
    targets_K1 = torch.from_numpy(np.asarray(ids, dtype=np.int64)).to(device)[:, None]
    log_p, distributions = [], []
    for first in range(0, len(texts), at_once):
        logits_BTV = model(torch.from_numpy(tokens_XT[first : first + at_once]).to(device))
        for row_TV, text in zip(logits_BTV, texts[first : first + at_once], strict=True):
            log_p_KV = functional.log_softmax(row_TV[len(text) - 1 :][: len(ids)].float(), dim=-1)
            log_p.append(float(log_p_KV.gather(1, targets_K1).double().sum()))
            distributions.append(log_p_KV[:length].exp())
    return np.array(log_p), torch.stack(distributions)


def _between_pairs(p_ITV: Tensor, h_IT: Tensor) -> np.ndarray:
    """js_QT of every pair i < j, in the order of i and then j."""
    rows = [
        _divergence(p_ITV[i : i + 1], h_IT[i : i + 1], p_ITV[i + 1 :], h_IT[i + 1 :]) for i in range(len(p_ITV) - 1)
    ]
    return np.concatenate(rows) if rows else np.empty((0, p_ITV.shape[1]))


def _divergence(p_ITV: Tensor, h_IT: Tensor, q_ITV: Tensor, g_IT: Tensor) -> np.ndarray:
    """js_IT of p and q with entropies h and g, in nats; rounding below zero is cut off."""
    middle_IT = torch.special.entr((p_ITV + q_ITV) / 2).sum(dim=-1, dtype=torch.float64)
    return (middle_IT - (h_IT + g_IT) / 2).clamp(min=0).cpu().numpy()
