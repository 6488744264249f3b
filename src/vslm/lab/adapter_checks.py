"""Whether an adapter can be trained beside the run that it names: tried once, before any run.

the model of that run           to the field, but for a shorter context
built as counted                parameters
finite, and all of it learns    one step on made-up tokens, in which the model's own weights get no gradient
its objective                   on a few tokens, where one is named
causal, rows apart              of classes from outside the package (`measure/causality.py`)
"""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from vslm.core.errors import SpecError, VslmError
from vslm.core.specs import differences, to_plain
from vslm.core.user_modules import is_own
from vslm.data.corpus import Corpus
from vslm.lab.own_builds import check_objective
from vslm.measure.causality import first_leak
from vslm.measure.token_loss import token_loss
from vslm.models.adapters.adapter import Adapter, AdapterModule, attached
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel, Model
from vslm.runs.stored_run import StoredRun, starting_tensors
from vslm.study.experiment import Experiment
from vslm.training.checkpoints import load_model_tensors

_NUM_CUTS = 3
_MOST_SHOWN = 3  # paths that differ


def check_model_of_start(experiment: Experiment) -> None:
    """Refuse another model than that of the run whose weights are frozen.

    Raises: SpecError at the model.
    """
    folder = str(experiment.start_from)
    check_same_model(experiment.model, StoredRun(Path(folder)).job.experiment.model, folder)


def check_same_model(model: Model, theirs: Model, folder: str) -> None:
    """Refuse another model than that of `folder`, but for a shorter context.

    Raises: SpecError at the model.
    """
    if model.context_tokens > theirs.context_tokens:
        found = f"{model.context_tokens} tokens, where {folder} was trained with {theirs.context_tokens}"
        raise SpecError("model.context_tokens", found, "as many, or fewer, are needed beside an adapter")
    same_context = dataclasses.replace(theirs, context_tokens=model.context_tokens)
    if others := [path for path, _, _ in differences(to_plain(same_context), to_plain(model))]:
        shown = ", ".join(others[:_MOST_SHOWN]) + (", ..." if len(others) > _MOST_SHOWN else "")
        found = f"another model than that of {folder}: {shown}"
        raise SpecError("model", found, "an adapter changes nothing else", "write the model as it was in that study")


def check_adapter(
    experiment: Experiment, adapter: Adapter, corpus: Corpus, *, models: Mapping[str, Experiment] | None = None
) -> None:
    """Build it beside the weights that it starts from, and try one step.

    Args:
        experiment: that it stands in.
        adapter: of it.
        corpus: of it.
        models: arms and trunks of the study, which are not trained yet: new weights stand for theirs.
    Raises: SpecError at the adapter.
    """
    model, vocabulary = experiment.model, corpus.vocabulary
    built = model.build(vocabulary=vocabulary, init=Init(seed=0))
    if isinstance(experiment.start_from, str):
        load_model_tensors(built, starting_tensors(Path(experiment.start_from)), experiment.start_from)
    built.requires_grad_(requires_grad=False)
    try:
        module = adapter.build(built, init=Init(seed=0).child("adapter"), encode=corpus.tokenizer.encode)
        _check_built(adapter, module, adapter.num_parameters(model, vocabulary))
        _check_step(adapter, built, module, vocabulary)
        if is_own(type(adapter)):
            _check_causal(adapter, built, module, vocabulary)
    except VslmError as error:
        raise SpecError(error.where, error.found, error.allowed, error.do).within("adapter") from None
    if experiment.objective is not None:
        with attached(built, module):
            check_objective(experiment.objective, experiment, built, corpus, models=models)


def _check_built(adapter: Adapter, module: AdapterModule, declared: int) -> None:
    kind = type(adapter).__name__
    if not isinstance(module, AdapterModule):
        raise SpecError("", f"{kind}.build returned {type(module).__name__}", "an AdapterModule is needed")
    built = sum(parameter.numel() for parameter in module.parameters())
    if built != declared:
        found = f"{kind} was built with {built:,} parameters, and declares {declared:,}"
        raise SpecError("", found, "arms are compared and recorded by them", "mend num_parameters")


def _check_step(adapter: Adapter, model: LanguageModel, module: AdapterModule, vocabulary: int) -> None:
    """The first two steps of training: at the first, what starts at zero may hide the rest from the gradient."""
    kind = type(adapter).__name__
    tokens_BT1 = torch.arange(2 * (model.context_tokens + 1)).reshape(2, -1) * 7 % vocabulary
    optimizer, reached = torch.optim.SGD(module.parameters(), lr=1e-3), set()
    with attached(model, module):
        for _ in range(2):
            loss = token_loss(model, tokens_BT1[:, :-1], tokens_BT1[:, 1:]).mean()
            if not math.isfinite(loss.item()):
                raise SpecError("", f"with {kind} the loss is {loss.item()} at the start", "a finite one is needed")
            if not loss.requires_grad:
                raise SpecError(
                    "", f"{kind} changes nothing: the loss depends on none of it", "one that does is needed"
                )
            loss.backward()
            reached |= {name for name, p in module.named_parameters() if p.grad is not None and p.grad.any()}
            optimizer.step()
            optimizer.zero_grad()
    if unlearned := [name for name, _ in module.named_parameters() if name not in reached]:
        found = f"no gradient reaches {', '.join(unlearned[:_MOST_SHOWN])} of {kind}"
        raise SpecError("", found, "what counts as trained has to learn", "leave it out")


def _check_causal(adapter: Adapter, model: LanguageModel, module: AdapterModule, vocabulary: int) -> None:
    leak = first_leak(
        lambda: _Together(model, module),
        vocabulary=vocabulary,
        context_tokens=model.context_tokens,
        num_cuts=_NUM_CUTS,
        keeps_state=False,
        modes=("evaluation",),
    )
    if leak is not None:
        kind = type(adapter).__name__
        saw = "sees the future" if leak.kind == "future" else "mixes the texts of a batch"
        found = f"with {kind} the model {saw}: the logits at position {leak.position} change with what it may not see"
        raise SpecError("", found, "a position may see itself and earlier ones of its own text")


class _Together(nn.Module):
    """A model with an adapter on, as one module whose parameters are the adapter's."""

    def __init__(self, model: LanguageModel, adapter: AdapterModule) -> None:
        super().__init__()
        self.adapter = adapter
        self._model = [model]  # in a list, so that its weights stay as they are

    def forward(self, tokens_BT: Tensor) -> Tensor:
        with attached(self._model[0], self.adapter):
            return self._model[0](tokens_BT)
