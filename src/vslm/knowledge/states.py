"""Passages by the model's own states: what it makes of a passage, against what it makes of the query."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vslm.core.errors import SpecError
from vslm.core.groups import in_groups
from vslm.core.specs import fingerprint
from vslm.knowledge.kept import kept
from vslm.knowledge.retriever import ASKING, Finder, Found, OpenModel, Query, ReadyModel, Retriever, best, no_models
from vslm.knowledge.store import Store
from vslm.measure.measure import evaluating
from vslm.measure.watch import watch
from vslm.models.language_model import LanguageModel

_VERSION = 1  # of how vectors are made
_ROWS_AT_A_TIME = 65_536  # of vectors that are compared
_TOKENS_AT_A_TIME = 4_096  # that a model reads
_TEXTS_AT_A_TIME = 1_024  # encoded, and sorted by their length, together
_SMALLEST = 1e-12


@dataclass(frozen=True, kw_only=True)
class States(Retriever):
    """The mean of a model's hidden states over the tokens of a text, compared by their cosine.

        v(text) = mean over its tokens t of h_t(text),   score(q, p) = cos(v(q) - m, v(p) - m)

    m is the mean of v over the store: without it, what all texts have in common decides. Texts are read as documents,
    after the separator, which is not in the mean; one that is longer than the context is read a context at a time. The
    k best are exact: all passages are compared.

    Cost: a pass of the model over the store, once; D numbers in fp32 per passage, kept in the store's folder under the
    weights that made them, and read from the disk as needed. A query is one pass and one product with all of them.

    Args:
        run: folder of a finished run: runs/NAME/ARM/seed0.
        layer: whose output h is, as `watch` names it: "path.2" is the third visit; None: the last one.
    """

    run: str
    layer: str | None = None

    def check(self) -> None:
        """Refuse a run without a name."""
        if not self.run.strip():
            raise SpecError("run", "an empty path", "the folder of a finished run is needed")

    def runs(self) -> tuple[str, ...]:
        """The one that it reads with."""
        return (self.run,)

    def open(self, store: Store, models: OpenModel = no_models) -> "StatesFinder":
        """Make the vectors of the passages, or read them.

        Raises: SpecError for a layer that the model does not have; what `models` raises.
        """
        ready = models(self.run)
        encode = StateEncoder(ready, self.layer)
        made_with = {"weights": _digest(ready.model), "layer": encode.layer, "tokenizer": ready.tokenizer.fingerprint}
        if any(module._forward_hooks for module in ready.model.modules()):
            # An adapter is on, which no weight of the model tells of: what it makes of a passage does.
            made_with["adapted"] = hashlib.sha256(encode([store.passages[0].text]).tobytes()).hexdigest()

        def make() -> dict[str, np.ndarray]:
            return _vectors(store, encode)

        def save(made: dict[str, np.ndarray], folder: Path) -> None:
            for name, array in made.items():
                np.save(folder / f"{name}.npy", array, allow_pickle=False)

        def load(folder: Path) -> dict[str, np.ndarray]:
            names = ("mean", "vectors")
            return {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}

        name = f"states-{fingerprint(made_with)}-{_VERSION}"
        return StatesFinder(store, encode, **kept(store, name, make=make, save=save, load=load))


@dataclass(frozen=True, kw_only=True)
class OwnStates(Retriever):
    """As `States`, by the model that asks, as it is at that moment: predicted and loaded by one and the same model.

    For who asks with a model in hand, as `LoadedAnswers` does while it is trained. Nothing is kept: the vectors of a
    store are made whenever it is opened. A corpus is prepared before any model is there, so `Retrieved` refuses it.

    Cost: as of `States`, with a pass over the store each time.

    Args:
        layer: as of `States`.
    """

    layer: str | None = None

    @property
    def reads_with_asking(self) -> bool:
        """It does."""
        return True

    def open(self, store: Store, models: OpenModel = no_models) -> "StatesFinder":
        """Make the vectors of the passages. Raises: as `States.open`."""
        encode = StateEncoder(models(ASKING), self.layer)
        return StatesFinder(store, encode, **_vectors(store, encode))


def _vectors(store: Store, encode: "StateEncoder") -> dict[str, np.ndarray]:
    """What `StatesFinder` compares with."""
    vectors_ND = encode(passage.text for passage in store.passages)
    mean_D = vectors_ND.mean(axis=0, dtype=np.float64).astype(np.float32)
    return {"mean": mean_D, "vectors": _units(vectors_ND, mean_D)}


class StatesFinder(Finder):
    """See `States`. `vectors`: unit vectors of the passages, [N, D]; `mean`: what was subtracted, [D]."""

    def __init__(self, store: Store, encode: "StateEncoder", *, vectors: np.ndarray, mean: np.ndarray) -> None:
        super().__init__(store)
        self._encode, self._vectors_ND, self._mean_D = encode, vectors, np.asarray(mean)
        self._before = encode.num_tokens_read

    @property
    def num_tokens_read(self) -> int:
        """Of queries; the store, which is read once, is not among them."""
        return self._encode.num_tokens_read - self._before

    def find_many(self, queries: Sequence[Query], k: int) -> list[list[Found]]:
        """By cosine; a query without a token finds nothing."""
        if not queries:
            return []
        asked = [number for number, query in enumerate(queries) if query.text]
        found: list[list[Found]] = [[] for _ in queries]
        if asked:
            vectors_QD = _units(self._encode(queries[number].text for number in asked), self._mean_D)
            scores_QN = [self._scores(vector_D) for vector_D in vectors_QD]
            for number, scores_N in zip(asked, scores_QN, strict=True):
                if (not_of := queries[number].not_of) is not None:
                    scores_N[self.store.documents_N == np.uint64(not_of)] = -np.inf
                found[number] = best(scores_N, k)
        return found

    def _scores(self, vector_D: np.ndarray) -> np.ndarray:
        scores_N = np.empty(len(self._vectors_ND), dtype=np.float32)
        for start in range(0, len(scores_N), _ROWS_AT_A_TIME):
            part = slice(start, start + _ROWS_AT_A_TIME)
            scores_N[part] = self._vectors_ND[part] @ vector_D
        return scores_N


class StateEncoder:
    """v(text) of `States`, for any number of texts.

    Args:
        ready: the model.
        layer: as of `States`.
    Raises: SpecError for a layer that it does not have.
    """

    def __init__(self, ready: ReadyModel, layer: str | None) -> None:
        self._model, self._tokenizer = ready.model, ready.tokenizer
        self.num_tokens_read = 0
        self.layer = layer or f"path.{len(ready.model.visits) - 1}"
        with watch(self._model, self.layer):  # refused here, before anything is read
            pass

    def __call__(self, texts: Iterable[str]) -> np.ndarray:
        """fp32 [number of texts, D]; zeros for a text without a token."""
        means: list[np.ndarray] = []
        for some in in_groups(texts, _TEXTS_AT_A_TIME):
            means.append(self._means(self._tokenizer.encode_many(some)))
        return np.concatenate(means)

    def _means(self, ids: list[np.ndarray]) -> np.ndarray:
        separator = self._tokenizer.end_of_text
        begin = [] if separator is None else [separator]
        self.num_tokens_read += sum(len(begin) + len(row) for row in ids)
        room = max(1, self._model.context_tokens - len(begin))
        # (text, its tokens): more than one piece where a text is longer than the context.
        pieces = [(n, row[at : at + room]) for n, row in enumerate(ids) for at in range(0, len(row), room)]
        pieces.sort(key=lambda piece: len(piece[1]))
        sums_ND, counts_N = None, np.array([max(1, len(row)) for row in ids], dtype=np.float64)
        at_a_time = max(1, _TOKENS_AT_A_TIME // (room + len(begin)))
        for first in range(0, len(pieces), at_a_time):
            some = pieces[first : first + at_a_time]
            sums_BD = self._sums([row for _, row in some], begin)
            if sums_ND is None:
                sums_ND = np.zeros((len(ids), sums_BD.shape[1]))
            np.add.at(sums_ND, [n for n, _ in some], sums_BD)
        if sums_ND is None:  # no text has a token
            sums_ND = np.zeros((len(ids), self._sums([np.zeros(1, dtype=np.int64)], begin).shape[1]))
        return (sums_ND / counts_N[:, None]).astype(np.float32)

    def _sums(self, rows: list[np.ndarray], begin: list[int]) -> np.ndarray:
        """The sum of the states over each row's own tokens, [B, D]."""
        tokens_BT, own_BT = filled_rows(rows, begin, len(begin) + max(map(len, rows)))
        device = next(self._model.parameters()).device
        with evaluating(self._model), watch(self._model, self.layer) as seen:
            self._model.stream(tokens_BT.to(device))
        states_BTD: Tensor = seen[self.layer].float().cpu()
        return torch.einsum("btd,bt->bd", states_BTD, own_BT).double().numpy()


def filled_rows(rows: Sequence[np.ndarray], begin: list[int], length: int) -> tuple[Tensor, Tensor]:
    """Texts as rows of one length, and where their own tokens stand. What fills up a row stands behind them, where no
    token of it looks.

    Args:
        rows: ids of each; what is too long is cut off at its end.
        begin: ids in front of each, which are not its own.
        length: tokens of a row.
    Shapes: int64 and fp32, [number of rows, length].
    """
    tokens_NT, own_NT = torch.zeros(len(rows), length, dtype=torch.long), torch.zeros(len(rows), length)
    tokens_NT[:, : len(begin)] = torch.tensor(begin, dtype=torch.long)
    for n, row in enumerate(rows):
        taken = slice(len(begin), min(length, len(begin) + len(row)))
        tokens_NT[n, taken] = torch.from_numpy(np.asarray(row[: length - len(begin)], dtype=np.int64))
        own_NT[n, taken] = 1
    return tokens_NT, own_NT


def _digest(model: LanguageModel) -> str:
    """Of every weight."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _units(vectors_ND: np.ndarray, mean_D: np.ndarray) -> np.ndarray:
    """Without the mean, of length 1; a vector that is the mean stays 0."""
    vectors_ND = vectors_ND - mean_D
    lengths_N = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    return np.where(lengths_N > _SMALLEST, vectors_ND / np.maximum(lengths_N, _SMALLEST), 0).astype(np.float32)
