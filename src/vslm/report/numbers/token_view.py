"""What the token view shows, as JSON: texts as tokens, and what each run said of every token after each stored step.

    {"texts": [{"vocabulary": 1024, "words": {"17": " the", ...}, "pieces": [{"ids": [...], "note": "..."}]}],
     "runs": [{"arm": "full", "seed": 0, "text": 0, "steps": [...],
               "pieces": [{"loss": S x N, "rank": S x N, "entropy": S x N, "top": S x N x K, "p": S x N x K}]}],
     "baseline": "full", "remark": "..."}

`assets/token_view.js` draws it, in the report and on the live page: `words` and `numbers` make the parts for both. A
word is text; a list of bytes where a token is a part of a character; None for the separator. Losses and entropies are
in nats, null where nothing stands before a token.

Not for: scoring anything, see `vslm.measure.token_view`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from vslm.core.errors import ResultError
from vslm.data.tokenizers import FittedTokenizer, load_tokenizer
from vslm.measure.token_counts import never_words
from vslm.report.numbers.formatting import listing, seeds
from vslm.report.numbers.runs import Run
from vslm.results.folder import StudyFolder

_MOST_NUMBERS = 600_000  # of all runs together: 3 MB of the page
_PREFIX = "token_view."
_AXES = {"loss_nats": "SN", "rank": "SN", "entropy_nats": "SN", "top_ids": "SNK", "top_p": "SNK"}


def token_view(folder: StudyFolder, runs: dict[str, list[Run]]) -> dict[str, Any] | None:
    """What there is of the measure `TokenView` in the whole runs of a study; None if nothing."""
    texts: list[dict[str, Any]] = []
    places: dict[tuple[str, bytes], int] = {}
    tokenizers: dict[str, FittedTokenizer] = {}
    shown: list[dict[str, Any]] = []
    unread: list[str] = []
    left_out: dict[str, list[int]] = {}
    num_numbers = 0
    # Seed by seed, so that what is left out of a long list of runs is left out of all arms alike.
    for run in sorted((run for arm in runs.values() for run in arm if run.is_whole), key=lambda run: run.seed):
        found = _arrays(run)
        if found is None:
            continue
        num_numbers += sum(array.size for array in found.values())
        if shown and num_numbers > _MOST_NUMBERS:
            left_out.setdefault(run.arm, []).append(run.seed)
            continue
        try:
            tokenizer = _tokenizer(folder, run, tokenizers)
        except (ResultError, OSError):
            unread.append(run.where)
            continue
        if max(found["ids"].max(), found["top_ids"].max()) >= tokenizer.vocabulary:
            unread.append(run.where)
            continue
        place = places.setdefault((tokenizer.fingerprint, found["ids"].tobytes()), len(texts))
        if place == len(texts):
            texts.append({"vocabulary": tokenizer.vocabulary, "words": {}, "pieces": _pieces(found)})
        used = {*found["ids"].tolist(), *found["top_ids"].ravel().tolist()} - {-1}
        texts[place]["words"] |= words(tokenizer, used)
        shown.append(
            {
                "arm": run.arm,
                "seed": run.seed,
                "text": place,
                "steps": found["steps"].tolist(),
                "pieces": [numbers(**part) for part in _by_piece(found)],
            }
        )
    if not shown:
        return None
    order = list(runs)
    shown.sort(key=lambda run: (order.index(run["arm"]), run["seed"]))
    remarks = [f"Left out to keep this page small: {_listed(left_out)}."] if left_out else []
    remarks += [f"Not shown, since tokenizer.json there cannot be read: {listing(unread)}."] if unread else []
    return {
        "texts": texts,
        "runs": shown,
        "baseline": str(folder.study.baseline),
        "remark": " ".join(remarks),
    }


def words(tokenizer: FittedTokenizer, ids: Iterable[int]) -> dict[str, str | list[int] | None]:
    """What ids stand for: text, a list of bytes for a part of a character, None for the separator."""
    return {str(token): _word(tokenizer, token) for token in sorted(set(map(int, ids)))}


def numbers(
    loss_nats: np.ndarray, rank: np.ndarray, entropy_nats: np.ndarray, top_ids: np.ndarray, top_p: np.ndarray
) -> dict[str, Any]:
    """What was said of the tokens of one piece, rounded as it is shown.

    Shapes: [S, N] and, of what was likeliest, [S, N, K].
    """
    return {
        "loss": _rounded(loss_nats, 4),
        "rank": rank.tolist(),
        "entropy": _rounded(entropy_nats, 2),
        "top": top_ids.tolist(),
        "p": _significant(top_p),
    }


def _word(tokenizer: FittedTokenizer, token: int) -> str | list[int] | None:
    if token == tokenizer.end_of_text:
        return None
    content = tokenizer.token_bytes[token]
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return list(content)


def _tokenizer(folder: StudyFolder, run: Run, known: dict[str, FittedTokenizer]) -> FittedTokenizer:
    """Of a run; runs of one corpus have the same file and share what was read."""
    path = folder.path / run.where / "tokenizer.json"
    content = path.read_text(encoding="utf-8", errors="replace")
    if content not in known:
        known[content] = load_tokenizer(path)
    return known[content]


def _arrays(run: Run) -> dict[str, np.ndarray] | None:
    """The arrays of the measure without their axes in the names; None where one is missing or of another form."""
    axes = {**_AXES, "ids": "SN", "piece": "SN", "steps": "S"}
    names = {name: f"{_PREFIX}{name}_{letters}" for name, letters in axes.items()}
    if not all(name in run.arrays for name in names.values()):
        return None
    found = {name: run.arrays[array] for name, array in names.items()}
    if found["top_p"].ndim != 3 or not found["top_p"].size:
        return None
    sizes = dict(zip("SNK", found["top_p"].shape, strict=True))
    if any(found[name].shape != tuple(sizes[letter] for letter in letters) for name, letters in axes.items()):
        return None
    whole = ("ids", "piece", "rank", "top_ids", "steps")
    if not all(np.issubdtype(found[name].dtype, np.integer) for name in whole) or found["ids"].min() < 0:
        return None
    starts = run.arrays.get(f"{_PREFIX}from_token_SP", np.empty((0, 0)))
    first = {"ids": found["ids"][0], "piece": found["piece"][0], "starts": starts[0] if starts.ndim == 2 else starts}
    never = run.arrays.get(f"{_PREFIX}is_never_SN")  # runs of earlier versions lack it: then nothing is said
    is_there = never is not None and never.shape == found["ids"].shape
    first["never"] = never[0].astype(bool) if is_there and never is not None else np.zeros(sizes["N"], dtype=bool)
    return {**found, **first}


def _by_piece(found: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for piece in np.unique(found["piece"]):
        chosen = found["piece"] == piece
        yield {name: found[name][:, chosen] for name in _AXES}


def _pieces(found: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    pieces = np.unique(found["piece"])
    starts: Sequence[Any] = found["starts"].tolist() if found["starts"].shape == pieces.shape else [None] * len(pieces)
    notes = []
    for piece, start in zip(pieces, starts, strict=True):
        never = never_words(int(found["never"][found["piece"] == piece].sum()))
        place = "" if start is None else f"Validation text from token {int(start):,} on"
        notes.append("; ".join(part for part in (place, never) if part))
    return [
        {"ids": found["ids"][found["piece"] == piece].tolist(), "note": note}
        for piece, note in zip(pieces, notes, strict=True)
    ]


def _listed(left_out: dict[str, list[int]]) -> str:
    return listing([f"{arm} seed {seeds(numbers)}" for arm, numbers in left_out.items()])


def _rounded(values: np.ndarray, decimals: int) -> list[Any]:
    """Nested lists; None for what is no number."""
    rounded = np.round(values.astype(np.float64), decimals).astype(object)
    rounded[~np.isfinite(values)] = None
    return rounded.tolist()


def _significant(values: np.ndarray) -> list[Any]:
    """Nested lists with three digits that count: probabilities are as small as one in the vocabulary."""
    flat = [float(f"{value:.3g}") if np.isfinite(value) else None for value in values.ravel().tolist()]
    shaped = np.empty(len(flat), dtype=object)
    shaped[:] = flat
    return shaped.reshape(values.shape).tolist()
