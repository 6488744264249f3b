"""Keys and values that are trained: what attention would keep of a text, without the text."""

from collections.abc import Mapping, MutableSequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from vslm.core.bounds import Context, Real
from vslm.core.errors import SpecError
from vslm.models.adapters.adapter import Adapter, AdapterModule, Attachment, Encode, grow, remove_first
from vslm.models.elements.element import Mixing
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel, Model
from vslm.models.parts.past import Past, WholeText
from vslm.models.parts.prefixes import VisitName, names_of
from vslm.models.path.stack import Visit

_A_TOKEN = 0  # of which only shapes are asked


@dataclass(frozen=True, kw_only=True)
class Cartridge(Adapter):
    """Keys and values of some tokens, trained, which every position of every text sees as if they stood before it.

        y_t = sum_p w_tp v_p + sum_{s <= t} w_ts v_s,    w_t = normalizer of [k_p . q_t; k_s . q_t] / sqrt(K)

    Every visit with attention has its own; a loop beyond those that the model declares takes those of the last. A key
    is what attention compares, after norms and positions. The text's own positions begin at 0, as without, and a
    window hides nothing of it. Its tokens count as visible keys to a normalizer that counts.

    Paper: Cartridges, Eyuboglu et al., 2025, https://arxiv.org/abs/2506.06266, where they are distilled from the model
    with the text in its context (`ContextDistillation`). Prefix-Tuning, Li and Liang, 2021,
    https://arxiv.org/abs/2101.00190, has vectors of its own in their place. We differ: all tokens are trained.
    At the start: with `context`, what the model makes of the first tokens of that text, at the positions before 0; with
    rotary or no positions and no window the model predicts as if it had just read them. Without, normal numbers with
    the deviation `std`.
    Cost: 2 * tokens * attention width parameters for each attention of a visit, and four FLOPs per token for each of
    their halves. Attention goes over whole rows, 128 queries at a time, whichever kernel the model has.

    Args:
        tokens: how many.
        context: a text, with as many tokens or more; None: random numbers.
        std: of random numbers, above 0.

    Raises: SpecError for a model without attention, and, when built, for a text with fewer tokens.
    """

    hides_weights: ClassVar[bool] = True
    tokens: Context
    context: str | None = None
    std: Real = 0.02

    def check(self) -> None:
        """Refuse no tokens, a text without one, and numbers of nothing."""
        if self.tokens < 1:
            raise SpecError("tokens", f"found {self.tokens}", "1 or more is needed")
        if self.context == "":
            raise SpecError("context", "an empty text", f"{self.tokens} tokens or more are needed", "or leave it out")
        if self.std <= 0:
            raise SpecError("std", f"found {self.std}", "a number above 0 is needed")

    def check_fits(self, model: Model) -> None:
        """There is attention, and a text of so many tokens can be read at once."""
        if not any(visit.element.mixings() for visit in model.visits()):
            raise SpecError("", "Cartridge on a model without attention", "attention sees it, and nothing else does")
        if self.context is not None and self.tokens >= model.context_tokens:
            found = f"{self.tokens} tokens of a text, in a context of {model.context_tokens}"
            raise SpecError("tokens", found, f"at most {model.context_tokens - 1} are read at once")

    def build(self, model: LanguageModel, *, init: Init, encode: Encode) -> "CartridgeModule":
        """Keys and values for every attention of every visit."""
        ids_P = torch.tensor([_A_TOKEN]) if self.context is None else self._ids(encode)
        pairs = {}
        for visit, (k_PHK, v_PHK) in read(model, ids_P).items():
            if self.context is None:
                at, shape = init.child(_path_of(visit)), (self.tokens, *k_PHK.shape[1:])
                k_PHK, v_PHK = (at.child(name).normal(shape, self.std) for name in ("keys", "values"))
            pairs[visit] = KeysAndValues(k_PHK, v_PHK)
        return CartridgeModule(pairs)

    def _ids(self, encode: Encode) -> Tensor:
        assert self.context is not None
        ids_P = torch.from_numpy(encode(self.context).astype("int64"))[: self.tokens]
        if len(ids_P) < self.tokens:
            found = f"the text has {len(ids_P)} tokens"
            raise SpecError("context", found, f"tokens={self.tokens} are to start from them", "ask for fewer")
        return ids_P

    def num_parameters(self, model: Model, vocabulary: int) -> int:
        """A key and a value for each token, attention and visit."""
        return sum(2 * self.tokens * one.attention_width for visit in model.visits() for one in visit.element.mixings())

    def forward_flops_per_token(self, visit: Visit) -> float:
        """Scores and weighted values of so many keys more."""
        return sum(self._flops(mixing) for mixing in visit.element.mixings())

    def _flops(self, mixing: Mixing) -> float:
        return 4.0 * mixing.attention_width * self.tokens


class KeysAndValues(nn.Module):
    """What one attention of one visit sees before the text."""

    def __init__(self, k_PHK: Tensor, v_PHK: Tensor) -> None:
        super().__init__()
        self.keys, self.values = nn.Parameter(k_PHK), nn.Parameter(v_PHK)

    def lookup_tables(self) -> tuple[nn.Parameter, ...]:
        """Both: a row per token, as in an embedding, and no matrix that anything is multiplied with."""
        return (self.keys, self.values)


class CartridgeModule(AdapterModule):
    """See `Cartridge`. Parameters are named by the visit: `blocks.core.2.keys`, the third visit of `blocks.core`.

    Args:
        pairs: of every attention, by the name of its visit.
    """

    def __init__(self, pairs: Mapping[VisitName, KeysAndValues]) -> None:
        super().__init__()
        self._paths = {visit: _path_of(visit) for visit in pairs}
        self._last: dict[VisitName, int] = {}
        for visit, pair in pairs.items():
            grow(self, _path_of(visit), pair)
            self._last[_apart_from_count(visit)] = int(visit[1])

    def put_on(self, model: LanguageModel) -> Attachment:
        """Let every text stand behind it."""
        found = set(names_of(model.visits))
        assert all(visit[:2] in found for visit in self._paths), "an adapter is put on the model that it was built for"
        model.prefixes.append(self)
        return _Standing(model.prefixes, self)

    def keys_and_values(self, visit: VisitName) -> tuple[Tensor, Tensor] | None:
        """(k_PHK, v_PHK) at a visit, or at the last one there that has some."""
        last = self._last.get(_apart_from_count(visit))
        if last is None:
            return None
        pair = self.get_submodule(self._paths[visit[0], min(int(visit[1]), last), *visit[2:]])
        assert isinstance(pair, KeysAndValues)
        return pair.keys, pair.values


class _Standing:
    """A prefix of a model."""

    def __init__(self, prefixes: MutableSequence, prefix: CartridgeModule) -> None:
        self._prefixes, self._prefix = prefixes, prefix

    def remove(self) -> None:
        remove_first(self._prefixes, self._prefix)


class _Reading(WholeText):
    """A text that stands before position 0, whose keys and values are kept."""

    def __init__(self, num_tokens: int) -> None:
        self.first_position = -num_tokens
        self.kept: dict[tuple[int | str, ...], tuple[Tensor, Tensor]] = {}
        self._place: tuple[int | str, ...] = ()

    def at(self, place: int | str) -> Past:
        there = _Reading(-self.first_position)
        there.kept, there._place = self.kept, (*self._place, place)
        return there

    def attend(
        self, kernel: nn.Module, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, normalizer: nn.Module
    ) -> Tensor:
        """What the kernel gives; keys and values of the only row are kept."""
        self.kept[self._place] = (k_BTHK[0].float().cpu(), v_BTHK[0].float().cpu())
        return super().attend(kernel, q_BTHK, k_BTHK, v_BTHK, normalizer)


@torch.no_grad()
def read(model: LanguageModel, ids_P: Tensor) -> dict[VisitName, tuple[Tensor, Tensor]]:
    """(k_PHK, v_PHK) of every attention of a model that reads a text which ends before position 0, by visit."""
    was_training, reading = model.training, _Reading(len(ids_P))
    model.eval()
    model.last(ids_P[None].to(next(model.parameters()).device), reading)
    model.train(was_training)
    names = names_of(model.visits)
    return {(*names[int(place)], *parts): pair for (place, *parts), pair in reading.kept.items()}


def _path_of(visit: VisitName) -> str:
    return ".".join(map(str, visit))


def _apart_from_count(visit: VisitName) -> VisitName:
    return (visit[0], *visit[2:])
