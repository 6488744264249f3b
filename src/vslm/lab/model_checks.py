"""Every arm's model is built and tried before any run. What would make a verdict false, or end a run, is refused.

    built as counted        parameters; and FLOPs beside torch's counter
    built twice the same    from one seed
    any length              logits for one token up to the context, in fp32 and in bf16
    finite and registered   loss and gradients of a first step; every weight that takes part is a parameter
    causal, rows apart      away from the initial values, in training and in evaluation (`measure/causality.py`)

A model that sees what it predicts has a loss that says nothing, so no option lets an arm off. Each distinct model is
tried once, on the CPU, in a fraction of a second at the sizes of the studies here. Of a model that has no class from
outside the package, what the contracts hold of all of its classes is not asked again: the same twice, any length, bf16,
training mode, and the counter of FLOPs, which takes a second to load.

Not for: the compiled graph, which the worker that compiles it compares with the eager one (`training/graphs.py`), and
the kernels of a GPU, which are held to those of a CPU by tests.
"""

import contextlib
import dataclasses
import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor, nn

import vslm
from vslm.core.errors import SpecError, VslmError
from vslm.core.paths import specs_in
from vslm.core.specs import Spec
from vslm.core.user_modules import is_own
from vslm.measure.causality import Leak, copied, first_leak, logits_of, same_draws
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel, Model
from vslm.models.path.repeats import Repeat
from vslm.objectives.exits import loss_with_exits
from vslm.study.study import Study
from vslm.training.first_step import first_step, has_unset
from vslm.training.precision import autocast

_SEED = 0
_ROWS = 2
_OWN_FLOPS = 4e9  # forward, to cut own classes at more positions: a third of a second at width 64 on one core
_FEWEST_CUTS, _MOST_CUTS = 3, 12
_SHORT = (1, 2, 7, 13)  # tokens of a short text; a prompt has eight
_BF16_TOKENS = 32  # where a CPU has no units for bf16, its products are slow
_SAME_LOGITS = 1e-3  # of their size: of a text alone and as the beginning of a longer one
_FLOPS_FACTOR = 1.25  # every model of the catalog is counted at 0.95 to 1.00 of what it declares
_SMALL_FLOPS = 2e9  # of a text, forward: below it, a second thread waits more than it helps
_MOST_FLOPS = 2e11  # of a text, forward: a model of 50M parameters and 1,024 tokens is tried in half a minute
_MOST_PARAMETERS, _MOST_LOGITS = 300_000_000, 500_000_000  # two gigabytes or less
_HERE = Path(vslm.__file__).parent
_LIBRARY = Path(torch.__file__).parent


def check_models(study: Study, vocabularies: Mapping[str, int]) -> tuple[str, tuple[str, ...]]:
    """Build and try the model of every arm.

    Returns: how many arms and what holds of them, in words; and what is no error, by arm.
    Raises: SpecError at the place in the arm, for the first fact that does not hold.
    """
    start, tried = time.perf_counter(), {}
    for arm, experiment in study.experiments.items():
        key = (experiment.model, vocabularies[arm])
        if key in tried:
            continue
        try:
            tried[key] = tuple(f"arm {arm!r}: {lint}" for lint in check_model(*key))
        except SpecError as error:
            raise error.within("model").within(study.place_of(arm)) from None
    num_arms = f"{len(study.arms)} arm{'s' if len(study.arms) > 1 else ''}"
    seconds = time.perf_counter() - start
    words = f"checked {num_arms}: causal, texts of a batch apart, finite, built as counted ({seconds:.1f} s)"
    return words, tuple(lint for lints in tried.values() for lint in lints)


def check_model(spec: Model, vocabulary: int) -> list[str]:
    """Build and try one model; what is worth saying and no error.

    Raises: SpecError, at a path seen from the model.
    """
    flops = spec.flops_per_token(vocabulary)
    if not (math.isfinite(flops) and flops > 0):
        raise SpecError("", f"{flops} FLOPs per token", "a number above 0 is needed", "mend forward_flops_per_token")
    row_flops = flops / 3 * spec.context_tokens
    if is_too_large(spec, vocabulary):
        return ["too large to be tried here, so nobody saw whether it is causal and built as it is counted"]
    is_known = not _own_parts(spec)
    num_cuts = _FEWEST_CUTS if is_known else min(max(int(_OWN_FLOPS / (4 * row_flops)), _FEWEST_CUTS), _MOST_CUTS)
    with _threads_for(row_flops):
        model = _built(spec, vocabulary)
        _check_counts(spec, model, vocabulary)

        def twin() -> LanguageModel:
            return copied(model, lambda: _built(spec, vocabulary))

        with _in_words(spec, model):
            lints = _check_first_step(spec, twin(), vocabulary, counts_flops=not is_known)
            if not is_known:
                _check_same(model, _built(spec, vocabulary))
                lints += _check_lengths(spec, twin, vocabulary)
                _check_bf16(twin(), vocabulary)
            leak = first_leak(
                twin,
                vocabulary=vocabulary,
                context_tokens=spec.context_tokens,
                num_cuts=num_cuts,
                keeps_state=not is_known,
                modes=("evaluation",) if is_known else ("evaluation", "training"),
            )
    if leak is not None:
        raise _refusal(spec, leak)
    return lints


def is_too_large(spec: Model, vocabulary: int) -> bool:
    """Whether building and trying it would take minutes or gigabytes: `vslm plan` is asked about any size."""
    is_long = spec.flops_per_token(vocabulary) / 3 * spec.context_tokens > _MOST_FLOPS
    num_logits = (1 + _MOST_CUTS) * spec.context_tokens * vocabulary
    return is_long or spec.num_parameters(vocabulary) > _MOST_PARAMETERS or num_logits > _MOST_LOGITS


def _built(spec: Model, vocabulary: int) -> LanguageModel:
    """A model, as a run builds it."""
    with _in_words(spec, None):
        return spec.build(vocabulary=vocabulary, init=Init(seed=_SEED))


@contextlib.contextmanager
def _threads_for(row_flops: float) -> Iterator[None]:
    threads = torch.get_num_threads()
    if row_flops < _SMALL_FLOPS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _check_counts(spec: Model, model: LanguageModel, vocabulary: int) -> None:
    if (unset := has_unset(model)) is not None:
        do = "give its sizes to the module (nn.Linear in place of nn.LazyLinear)"
        raise SpecError(unset, "has no shape before a first pass", "parameters are counted and matched by then", do)
    modules = {"root": model.root, "readout.norm": model.norm, "readout": model.readout}
    counted = {where: shapes.num_parameters for where, shapes in spec.shapes(vocabulary).items()}
    for visit in spec.visits():
        modules[visit.where] = model.get_submodule(visit.where)
        shared = sum(shape.numel() for shape in visit.shared.values())
        counted[visit.where] = visit.num_parameters() + shared
    for where, module in modules.items():
        built = sum(parameter.numel() for parameter in module.parameters())
        if built != counted[where]:
            place = _own_place(spec, where)
            what = where if place != where else _class_at(spec, where, type(module).__name__)
            found = f"{what} was built with {built:,} parameters, and before with {counted[where]:,}"
            allowed = "arms are matched, compared and recorded by their parameters"
            raise SpecError(place, found, allowed, "let sizes follow from its fields and what build is given")
    found, built = spec.num_parameters(vocabulary), sum(parameter.numel() for parameter in model.parameters())
    if found != built:  # a parameter that two parts hold is counted by each
        words = f"its parts have {found:,} parameters where the whole model has {built:,}"
        raise SpecError("", words, "a parameter belongs to one part", "share weights with Shares")
    _check_embeddings(spec, vocabulary)


def _check_embeddings(spec: Model, vocabulary: int) -> None:
    """What is left without tables does not grow with the vocabulary."""
    one_more = spec.shapes(vocabulary + 1)
    for where, shapes in spec.shapes(vocabulary).items():
        rests = [found.num_parameters - found.num_table_parameters for found in (shapes, one_more[where])]
        if rests[0] != rests[1]:
            found = f"{rests[0]:,} parameters without embeddings at {vocabulary:,} ids, and {rests[1]:,} at one id more"
            allowed = "tables with a row per token are the embeddings"
            do = "name them in a method lookup_tables of its module"
            raise SpecError(_own_place(spec, where), found, allowed, do)


def _check_same(model: LanguageModel, other: LanguageModel) -> None:
    for (name, parameter), (_, again) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        if not torch.equal(parameter, again):
            found = "built twice from one seed, its initial values differ"
            do = "draw from the `init` that build is given, or from torch's generator"
            raise SpecError(name, found, "arms of a seed start from the same weights", do)


def _check_lengths(spec: Model, twin: Callable[[], LanguageModel], vocabulary: int) -> list[str]:
    """Logits of every length, of one row and of several; and whether they are the same each time."""
    lints, tokens_BT = [], _tokens(vocabulary, _ROWS, spec.context_tokens)

    def logits(tokens_BT: Tensor) -> Tensor:
        logits_BTV = logits_of(twin(), tokens_BT, "evaluation")
        shape = (*tokens_BT.shape, vocabulary)
        if tuple(logits_BTV.shape) != shape or not logits_BTV.is_floating_point():
            found = f"logits of shape {list(logits_BTV.shape)} ({logits_BTV.dtype}) for {list(tokens_BT.shape)} tokens"
            raise SpecError("", found, f"real numbers of shape {list(shape)} are needed")
        return logits_BTV

    whole_BTV = logits(tokens_BT)
    for num_tokens in sorted({min(short, spec.context_tokens) for short in _SHORT}):
        difference = (logits(tokens_BT[:1, :num_tokens]) - whole_BTV[:1, :num_tokens]).abs().max()
        if difference > _SAME_LOGITS * whole_BTV.abs().max() and not lints:
            lints.append(
                f"a text of {num_tokens} tokens has other logits than the same tokens at the beginning of a longer "
                "one, so samples and measures of shorter texts see another model than training made"
            )
    if not torch.equal(logits_of(twin(), tokens_BT, "evaluation", seed=1), whole_BTV):
        lints.append("its evaluation draws numbers at random, so a loss is another one each time; see self.training")
    return lints


def _check_bf16(model: LanguageModel, vocabulary: int) -> None:
    """A step in bf16, which a timing may choose."""
    tokens_BT = _tokens(vocabulary, 1, min(model.context_tokens, _BF16_TOKENS))
    model.train()
    try:
        with same_draws(), autocast("bf16", "cpu"):
            lowered, _ = loss_with_exits(model, tokens_BT, tokens_BT)
            lowered.backward()
    except Exception as error:
        where, line = _whereabouts(error, model)
        found = f"it does not work in bf16: {type(error).__name__}: {_first_line(error)}{line}"
        do = "under autocast products come out as bf16: bring both sides to one type, as in x.to(y.dtype)"
        raise SpecError(where, found, "a timing chooses between fp32 and bf16", do) from None
    if not math.isfinite(lowered.item()):
        raise SpecError("", f"the loss of the initial weights is {lowered.item()} in bf16", "a finite one is needed")


def _check_first_step(spec: Model, model: LanguageModel, vocabulary: int, *, counts_flops: bool) -> list[str]:
    tokens_BT1 = _tokens(vocabulary, _ROWS if counts_flops else 1, spec.context_tokens + 1)
    step = first_step(model, tokens_BT1[:, :-1].contiguous(), tokens_BT1[:, 1:].contiguous(), counts_flops=counts_flops)
    lints = []
    if step.unlearned:
        names = ", ".join(step.unlearned[:3]) + (", ..." if len(step.unlearned) > 3 else "")
        lints.append(f"no gradient reaches {len(step.unlearned)} parameters, which count and never learn: {names}")
    if step.flops_per_token is None:
        return lints
    # Loops that are drawn cost their mean; this step passed all of them, and some the declared number of times.
    path = tuple(dataclasses.replace(item, training=None) if isinstance(item, Repeat) else item for item in spec.path)
    declared = dataclasses.replace(spec, path=path).executed_flops_per_token(vocabulary)
    words = f"{declared:,.0f} FLOPs per token where torch counts {step.flops_per_token:,.0f}"
    if step.flops_per_token > _FLOPS_FACTOR * declared:
        found, do = f"it declares {words} in its products alone", "mend forward_flops_per_token"
        raise SpecError(_own_place(spec, ""), found, "arms are matched and compared by what they declare", do)
    if step.flops_per_token * _FLOPS_FACTOR < declared:
        lints.append(f"it declares {words} (products alone); where no other work is done, mend forward_flops_per_token")
    return lints


def _tokens(vocabulary: int, rows: int, num_tokens: int) -> Tensor:
    return torch.randint(vocabulary, (rows, num_tokens), generator=torch.Generator().manual_seed(_SEED))


def _refusal(spec: Model, leak: Leak) -> SpecError:
    name = _class_at(spec, leak.where, leak.module) or "the model"
    share = (
        f"{leak.share:.1g} times as much as where it may" if math.isfinite(leak.share) else "where nothing else does"
    )
    if leak.kind == "future":
        found = (
            f"{name} sees the future: with the tokens from position {leak.changed} on replaced, the logits at position "
            f"{leak.position} change, too ({share}; in {leak.mode})"
        )
        allowed = "a position may see itself and earlier ones: the loss of a model that sees its targets means nothing"
        do = "in what it does along positions, take earlier ones only (a running mean, a shift to the right)"
    else:
        found = (
            f"{name} mixes the texts of a batch: with the other texts replaced, the logits of the first change "
            f"({share}; in {leak.mode})"
        )
        allowed = "each text is read by itself, or its loss depends on what stands beside it"
        do = "keep the first axis apart: normalize over the last one, as RMSNorm does and BatchNorm does not"
    return SpecError(_own_place(spec, leak.where), found, allowed, do)


@contextlib.contextmanager
def _in_words(spec: Model, model: nn.Module | None) -> Iterator[None]:
    """What a class of somebody's own raises, as one message."""
    try:
        yield
    except VslmError as error:
        raise type(error)(_own_place(spec, error.where), error.found, error.allowed, error.do) from None
    except Exception as error:
        where, line = _whereabouts(error, model)
        doing = "it cannot be built" if model is None else "it cannot compute"
        found = f"{doing}: {type(error).__name__}: {_first_line(error)}{line}"
        allowed = "texts of one token up to context_tokens are read, in batches of any size" if model else ""
        raise SpecError(_own_place(spec, where), found, allowed, "mend it there") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:200].rstrip(".")


def _whereabouts(error: BaseException, model: nn.Module | None) -> tuple[str, str]:
    """(path of the innermost module that was at work, " (file:line)" of the last line that is nobody's library)."""
    names = {id(module): name for name, module in model.named_modules()} if model else {}
    where, line = "", ""
    frames: TracebackType | None = error.__traceback__
    while frames is not None:
        where = names.get(id(frames.tb_frame.f_locals.get("self")), where)
        frames = frames.tb_next
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if not any(path.is_relative_to(library) for library in (_HERE, _LIBRARY)):
            line = f" ({path.name}:{frame.lineno})"
    return where, line


def _own_parts(spec: Model) -> dict[str, Spec]:
    """The parts that are of a class from outside the package, by dotted path; "" is the model itself."""
    return {where: part for where, part in specs_in(spec) if is_own(type(part))}


def _own_place(spec: Model, where: str) -> str:
    """`where`, or the one place below it that is of a class from outside the package."""
    own = _own_parts(spec)
    if where and any(where == path or where.startswith(f"{path}.") for path in own):
        return where
    return min((path for path in own if not where or path.startswith(f"{where}.")), default=where)


def _class_at(spec: Model, where: str, module: str) -> str:
    """The class of the spec at the place of an error, or that of its module."""
    place, own = _own_place(spec, where), _own_parts(spec)
    return type(own[place]).__name__ if place in own else module
