"""What is answered by who knows the type of an answer and not the answer: for objectives that take knowledge away.

    prior_k(v) = how often token v is a target that counts, among those of type k, in the training split of a corpus

Types are those of the source (`Source.answer_types`): the first tokens of all cities are one, the first tokens of all
jobs another, the second tokens of names a third. Types that share a token are one. What counts and is of none of them,
such as a full stop, is a type of its own, so that its form is kept; where a source knows no types, all that counts is
one.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vslm.data.corpus import Corpus
from vslm.data.sources.source import Source


class Priors(NamedTuple):
    """By type of target.

    Args:
        prior_KV: of each type, a distribution over all ids; a type without a target that counts has zeros.
        entropy_K: of each, in nats.
        type_V: the type of each id as a target.
    """

    prior_KV: Tensor
    entropy_K: Tensor
    type_V: Tensor

    def divergence(self, logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
        """KL(prior of the target's type || softmax of the logits), in nats and fp32, [B, T]. 0 or more, and never more
        than the loss of the least likely value: bounded, unlike minus a cross-entropy.
        """
        log_q_BTV = functional.log_softmax(logits_BTV.float(), dim=-1)
        cross_BTK = -(log_q_BTV @ self.prior_KV.T)
        type_BT = self.type_V[targets_BT]
        return cross_BTK.gather(-1, type_BT[..., None])[..., 0] - self.entropy_K[type_BT]


def priors_of(corpus: Corpus, source: Source, device: torch.device) -> Priors:
    """The priors of a corpus.

    Args:
        corpus: that was prepared from the source.
        source: that knows which answers are of one type, or knows no types.
        device: where they are used.
    """
    type_V = types_of_ids(source.answer_types(), corpus.tokenizer.encode, corpus.vocabulary)
    train = corpus.train
    weights = np.ones(train.num_tokens) if train.weights is None else np.asarray(train.weights, dtype=np.float64)
    counted_V = np.bincount(train.tokens, weights=weights, minlength=corpus.vocabulary)
    prior_KV = np.zeros((int(type_V.max()) + 1, corpus.vocabulary))
    prior_KV[type_V, np.arange(corpus.vocabulary)] = counted_V
    prior_KV /= np.maximum(prior_KV.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    log_KV = np.log(prior_KV, out=np.zeros_like(prior_KV), where=prior_KV > 0)
    entropy_K = -(prior_KV * log_KV).sum(axis=1)
    prior, entropy = (torch.from_numpy(array.astype(np.float32)).to(device) for array in (prior_KV, entropy_K))
    return Priors(prior, entropy, torch.from_numpy(type_V).to(device))


def types_of_ids(
    types: Mapping[str, tuple[str, ...]], encode: Callable[[str], np.ndarray], vocabulary: int
) -> np.ndarray:
    """The number of the type of each id, int64 [V]; the last type is that of all ids that no answer has.

    >>> words = ["", "new york", "oslo", "cook", "."]
    >>> ids = {" york": [1], " oslo": [2], " cook": [3], " york oslo": [1, 2]}
    >>> types_of_ids({"city": ("york", "oslo"), "job": ("cook",)}, lambda text: np.array(ids[text]), 5).tolist()
    [2, 0, 0, 1, 2]
    >>> types_of_ids({"city": ("york", "oslo"), "name": ("york oslo",)}, lambda text: np.array(ids[text]), 4).tolist()
    [1, 0, 0, 1]
    """
    together: list[set[int]] = []
    for texts in types.values():
        by_place: dict[int, set[int]] = {}
        for text in texts:
            for place, token in enumerate(encode(f" {text}").tolist()):
                by_place.setdefault(place, set()).add(token)
        for ids in by_place.values():
            shared = [other for other in together if other & ids]
            together = [other for other in together if not other & ids] + [ids.union(*shared)]
    type_V = np.full(vocabulary, len(together), dtype=np.int64)
    for number, ids in enumerate(together):
        type_V[sorted(ids)] = number
    return type_V
