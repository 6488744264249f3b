"""A finished run and files of prompts, as numbers: what `vslm prompts` prints, writes and draws."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vslm.after.sampling import Draws, Writer, open_run
from vslm.core.errors import DataError, SpecError
from vslm.data.tokenizers import END_OF_TEXT
from vslm.measure.prompts import KINDS, Effect, prompt_effect
from vslm.measure.token_counts import never_words
from vslm.models.generation import generate
from vslm.stats.decay import FEWEST_POINTS, NOT_FITTED, fit_decay, fit_decays
from vslm.stats.intervals import student_interval
from vslm.stats.pairs import degrees_of_freedom, jackknife_interval, leave_one_out

_FEWEST_PROMPTS, _MOST_TEXTS = 2, 32
_MOST_CONTINUATION_TOKENS = 128
_WRITTEN_TOKENS = 64  # by the model, where no continuations are given
_FEWEST_WRITTEN = 8
_FEWEST_FOR_INTERVAL = 6  # prompts: three pairs that share none of them, see `vslm.stats.pairs`
_ERROR = 0.05


def effect_of_prompts(
    run: Path, prompts: Path, continuations: Path | None, *, seed: int, trust: bool = False
) -> dict[str, Any]:
    """Everything about these prompts under this run, as plain values. Infinite and missing numbers are None.

    Args:
        run: of a run, or of a study: then its baseline's first finished seed.
        prompts: a file, one prompt a line; or, where the file holds `<|endoftext|>`, one between two of these.
        continuations: likewise. None: what the model itself writes after each prompt.
        seed: of what it writes and of the shuffles.
        trust: as of `open_run`.
    Raises: SpecError for a file that is not there; DataError, naming file and text, for no text, too many, one that is
        too long for the context, or has a character that a tokenizer of `Characters` does not know; ResultError for a
        run without weights. Byte pairs take any text; tokens that training never showed are counted in `remarks`.
    """
    texts = read_texts(prompts, "--prompts", fewest=_FEWEST_PROMPTS)
    given = None if continuations is None else read_texts(continuations, "--continuations", fewest=1)
    writer = open_run(run, Draws(tokens=_WRITTEN_TOKENS, temperature=1.0, top_k=None, seed=seed), trust=trust)
    start = writer.tokenizer.end_of_text
    prompt_ids = [_encoded(writer, text, prompts, i) for i, text in enumerate(texts)]
    if given is None:
        following_ids = [_written(writer, ids, prompt_ids, prompts, seed + i) for i, ids in enumerate(prompt_ids)]
        given = [writer.tokenizer.decode(ids) for ids in following_ids]
    else:
        assert continuations is not None
        following_ids = [_encoded(writer, text, continuations, i) for i, text in enumerate(given)]
        _check_lengths(writer, prompt_ids, following_ids, prompts, continuations)
    rng = np.random.default_rng(seed)
    found = prompt_effect(writer.model, prompt_ids, following_ids, start=start or 0, rng=rng)
    return {
        "run": "/".join(run.resolve().parts[-3:]),
        "prompts": texts,
        "continuations": given,
        "written_by_the_model": continuations is None,
        "begins_with_separator": start is not None,
        "remarks": _remarks(writer, {"prompts": prompt_ids, "continuations": following_ids}),
        "num_prompt_tokens": [len(ids) for ids in prompt_ids],
        "num_continuation_tokens": [len(ids) for ids in following_ids],
        "fewest_for_interval": _FEWEST_FOR_INTERVAL,
        **_numbers(found),
    }


def _remarks(writer: Writer, texts: dict[str, list[np.ndarray]]) -> list[str]:
    """What is said of tokens that training never showed; nothing where the corpus is not on this machine."""
    counts_V = writer.run.training_counts
    if counts_V is None:
        return []
    words = {kind: never_words(int((counts_V[np.concatenate(ids)] == 0).sum())) for kind, ids in texts.items()}
    return [f"of the {kind}, {what}" for kind, what in words.items() if what]


def read_texts(path: Path, option: str, *, fewest: int) -> list[str]:
    """The texts of a file.

    Raises: SpecError if there is no such file; DataError if it holds none, too few or too many, or is not UTF-8.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise SpecError(option, f"{path}: {found}", "a text file, one text a line, is needed")
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}, byte {error.start}", "not UTF-8", "text in UTF-8 is needed") from None
    if END_OF_TEXT in content:
        texts = [part.removeprefix("\n").removesuffix("\n") for part in content.split(END_OF_TEXT)]
    else:
        texts = content.splitlines()
    texts = [text for text in texts if text.strip()]
    if not fewest <= len(texts) <= _MOST_TEXTS:
        found = f"{len(texts)} texts" if len(texts) > 1 else "a single text" if texts else "no text in it"
        allowed = f"{fewest} to {_MOST_TEXTS} are needed"
        raise DataError(str(path), found, allowed, f"write one a line, or more lines with {END_OF_TEXT} between texts")
    return texts


def _encoded(writer: Writer, text: str, path: Path, number: int) -> np.ndarray:
    try:
        return writer.tokenizer.encode(text)
    except DataError as error:
        raise DataError(f"{path}, text {number + 1}", error.found, error.allowed, error.do) from None


def _check_lengths(
    writer: Writer, prompts: Sequence[np.ndarray], following: Sequence[np.ndarray], path: Path, other: Path
) -> None:
    longest = max(map(len, following))
    if longest > _MOST_CONTINUATION_TOKENS:
        number = [len(ids) for ids in following].index(longest) + 1
        found = f"{longest:,} tokens"
        raise DataError(f"{other}, text {number}", found, f"at most {_MOST_CONTINUATION_TOKENS} are read", "shorten it")
    _check_room(writer, prompts, longest, path)


def _check_room(writer: Writer, prompts: Sequence[np.ndarray], num_following: int, path: Path) -> None:
    room = writer.model.context_tokens - num_following
    for number, ids in enumerate(prompts, start=1):
        if len(ids) > room:
            context = writer.model.context_tokens
            allowed = f"with {num_following} tokens to follow, the context of {context:,} has room for {max(room, 0):,}"
            raise DataError(f"{path}, text {number}", f"{len(ids):,} tokens", allowed, "shorten it")


def _written(writer: Writer, ids: np.ndarray, prompts: Sequence[np.ndarray], path: Path, seed: int) -> np.ndarray:
    """What the model writes after a prompt: as much after each, and no separator."""
    _check_room(writer, prompts, _FEWEST_WRITTEN, path)
    num_tokens = min(_WRITTEN_TOKENS, writer.model.context_tokens - max(map(len, prompts)))
    separator = writer.tokenizer.end_of_text
    drawn = generate(
        writer.model,
        torch.tensor([separator or 0, *ids.tolist()]),
        num_tokens=num_tokens,
        generator=torch.Generator().manual_seed(seed % 2**63),
    )
    return np.array(list(drawn), dtype=np.int64)


def _numbers(found: Effect) -> dict[str, Any]:
    num_prompts, num_continuations = found.pmi_nats_IJ.shape
    rows: dict[str, Any] = {
        "pmi_nats": found.pmi_nats_IJ.tolist(),
        "log_p_nats": found.log_p_nats_J.tolist(),
        "own": None,
        "js_nats": {},
        "decay": None,
    }
    if num_prompts == num_continuations:
        is_own_IJ = np.eye(num_prompts, dtype=bool)
        rows["own"] = {
            "own prompt": _mean(found.pmi_nats_IJ[is_own_IJ]),
            "own prompt, shuffled": _mean(found.pmi_shuffled_nats_IJ[is_own_IJ]),
            "irrelevant, of equal length": _mean(found.pmi_irrelevant_nats_IJ[is_own_IJ]),
            # Cells share prompts and continuations, so only the means by continuation are counted as independent.
            "any other prompt": _mean(np.where(is_own_IJ, 0, found.pmi_nats_IJ).sum(axis=0) / (num_prompts - 1)),
        }
    for kind in KINDS:
        js_QT, members_Q2 = found.js_nats[kind], found.members[kind]
        mean_T = js_QT.mean(axis=0)
        without_IT = leave_one_out(js_QT, members_Q2) if num_prompts >= _FEWEST_FOR_INTERVAL else None
        degrees = degrees_of_freedom(members_Q2)
        low, high = None, None
        if without_IT is not None:
            low, high = jackknife_interval(mean_T, without_IT, degrees=degrees, error=_ERROR)
            high = np.maximum(np.minimum(high, math.log(2)), mean_T)  # no divergence is larger, but by rounding
        rows["js_nats"][kind] = {
            "mean": mean_T.tolist(),
            "low": None if low is None else low.tolist(),
            "high": None if high is None else high.tolist(),
        }
        if kind == KINDS[0] and len(mean_T) >= FEWEST_POINTS + NOT_FITTED:
            without_IT = None if without_IT is None else without_IT[:, NOT_FITTED:]
            rows["decay"] = _decay(mean_T[NOT_FITTED:], without_IT, degrees)
    return rows


def _mean(values: np.ndarray) -> dict[str, float | None]:
    interval = student_interval(values, _ERROR)
    low, high = (interval.low, interval.high) if len(values) >= _FEWEST_FOR_INTERVAL else (None, None)
    return {"mean": interval.mean, "low": _finite(low), "high": _finite(high)}


def _decay(mean_T: np.ndarray, without_IT: np.ndarray | None, degrees: int) -> dict[str, Any]:
    """The fit of the mean, with an interval of tau from the fits without each prompt, where all of these fall."""
    fitted = fit_decay(mean_T)
    low, high, is_held_by_one = None, None, False
    if without_IT is not None and math.isfinite(fitted.tau):
        _, tau_I, _ = fit_decays(without_IT)
        is_held_by_one = not bool(np.isfinite(tau_I).all())
        if not is_held_by_one:
            tau = np.array([fitted.tau])
            low, high = (
                float(end[0]) for end in jackknife_interval(tau, tau_I[:, None], degrees=degrees, error=_ERROR)
            )
    return {
        "tau_tokens": _finite(fitted.tau),
        "tau_low": low,
        "tau_high": _finite(high),
        "is_held_by_one_prompt": is_held_by_one,
        "amplitude_nats": fitted.amplitude,
        "floor_nats": fitted.floor,
    }


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
