"""Look at what flows through a model, without touching it.

    with watch(model, "path.*", "path.2.attention.weights") as seen:
        model(tokens_BT)
    seen["path.2"]                       # x_BTD after the third visit
    seen["path.2.attention.weights"]     # weights_BHTS

What can be watched is the output of a module. Inside the path it is named by its visit, because a module that is
visited twice means something else each time: `path.PLACE`, then the module's own name (`path.2.feedforward`,
`path.2.attention.query`). Outside it goes by its own name: `root`, `norm`, `readout`. A stream is seen as its `x_BTD`.
`*` stands for anything within one part of a name.

`...weights` beside a kernel (`path.2.attention.weights`) is what the oracle's weights are for the queries and keys that
the kernel was given. A chunked or fused kernel never holds them; they are computed once more, beside it.

Which visit it is: a hook on the root starts the count and a hook on every element of the path goes on with it. A model
that goes through its path several times counts on, so the second pass over three visits is `path.3` to `path.5`.

What it leaves alone: the logits, bitwise, with gradients or without; and after the block, also after an exception, no
hook is left. What it does not see: the inside of a compiled graph. Call the model itself, not its compiled loss.

Cost: a reference to each output that is kept, for as long as `seen` holds it; for `weights`, the oracle's product and
normalizer again, and B * H * T * S numbers a visit, which `keep` can make smaller at once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vslm.core.errors import SpecError
from vslm.measure.names import matches, matching
from vslm.models.language_model import LanguageModel
from vslm.models.parts.kernels import causal_mask
from vslm.models.parts.stream import Stream

_WEIGHTS = "weights"
_KERNEL = "kernel"  # how an attention names the module that turns queries, keys and values into its output


@contextmanager
def watch(
    model: LanguageModel, *patterns: str, keep: Callable[[Tensor], Tensor] | None = None
) -> Iterator[dict[str, Tensor]]:
    """Fill a dictionary with the outputs that `patterns` name, anew at each forward pass.

    Args:
        model: is called inside the block, as often as wanted; the last pass is what is there.
        patterns: dotted names, `*` for anything within a part.
        keep: what to keep of each output; None: all of it, detached.
    Raises: SpecError for a pattern that names nothing, before anything is hooked; the nearest names are offered.
    """
    matching(patterns, watchable(model))
    if model.prefixes and any(pattern.endswith(f".{_WEIGHTS}") for pattern in patterns):
        found = "the weights of attention, of a model whose texts stand behind trained keys"
        raise SpecError(", ".join(patterns), found, "they are not seen", "take the cartridge off")
    seen: dict[str, Tensor] = {}
    watcher = _Watcher(patterns, seen, keep)
    handles: list[Any] = []
    try:
        handles.append(model.root.register_forward_pre_hook(watcher.start))
        for element in model.elements().values():
            handles.append(element.register_forward_pre_hook(watcher.next_visit))
            handles += watcher.hooks(element)
        for name, module in _outside(model).items():
            if any(matches(pattern, name) for pattern in patterns):
                handles.append(module.register_forward_hook(watcher.outside(name)))
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def watchable(model: LanguageModel) -> list[str]:
    """Every name that `watch` knows for this model: the visits in order, and what is outside the path."""
    elements = model.elements()
    names = ["root"]
    for place, where in enumerate(model.visits):
        names += [_joined(f"path.{place}", name) for name in _names_within(elements[where])]
    return names + [name for name in _outside(model) if name != "root"]


def attention_weights(q_BTHK: Tensor, k_BTHK: Tensor, normalizer: nn.Module, window_tokens: int | None) -> Tensor:
    """weights_BHTS of whole rows, as the oracle makes them: exactly 0 where a query does not see a key."""
    positions_T = torch.arange(q_BTHK.shape[1], device=q_BTHK.device)
    visible_TS = causal_mask(positions_T, positions_T, window_tokens)
    scores_BHTS = q_BTHK.transpose(1, 2) @ k_BTHK.permute(0, 2, 3, 1)
    scores_BHTS = scores_BHTS.to(torch.promote_types(scores_BHTS.dtype, torch.float32))
    return normalizer.forward(
        scores_BHTS, visible_TS
    )  # not called: a hook on the normalizer is for the model's own pass


class _Watcher:
    """The hooks of one `watch`, and which visit is running."""

    def __init__(self, patterns: tuple[str, ...], seen: dict[str, Tensor], keep: Any) -> None:
        self.patterns, self.seen, self.keep = patterns, seen, keep
        self.place = -1

    def start(self, module: nn.Module, args: Any) -> None:
        """A pass starts at the root."""
        self.seen.clear()
        self.place = -1

    def next_visit(self, module: nn.Module, args: Any) -> None:
        """An element of the path is entered."""
        self.place += 1

    def hooks(self, element: nn.Module) -> list[Any]:
        """Hooks on what may be named within an element, at whatever visit."""
        handles = []
        for name, module in element.named_modules():
            if self._may_name(name):
                handles.append(module.register_forward_hook(self._within(name)))
            if _is_kernel(name) and self._may_name(_weights_of(name)):
                handles.append(module.register_forward_hook(self._weights(_weights_of(name))))
        return handles

    def outside(self, name: str) -> Callable[..., None]:
        """A hook on a module that is not in the path."""

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            self._see(name, output)

        return hook

    def _within(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            self._see(_joined(f"path.{self.place}", name), output)

        return hook

    def _weights(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            where = _joined(f"path.{self.place}", name)
            if self._is_wanted(where):
                q_BTHK, k_BTHK, _, normalizer = args
                with torch.no_grad():
                    self._see(where, attention_weights(q_BTHK, k_BTHK, normalizer, module.window_tokens))  # type: ignore[arg-type]

        return hook

    def _may_name(self, name: str) -> bool:
        """Whether a pattern means `name` at some visit."""
        for pattern in self.patterns:
            parts = pattern.split(".")
            if len(parts) > 1 and matches(".".join([parts[0], "*", *parts[2:]]), _joined("path.0", name)):
                return True
        return False

    def _is_wanted(self, name: str) -> bool:
        return any(matches(pattern, name) for pattern in self.patterns)

    def _see(self, name: str, output: Any) -> None:
        if not self._is_wanted(name):
            return
        value = output.x_BTD if isinstance(output, Stream) else output
        if not isinstance(value, Tensor):
            found = f"its output is a {type(output).__name__}"
            raise SpecError(name, found, "a module whose output is a tensor or a stream can be watched")
        with torch.no_grad():
            self.seen[name] = value.detach() if self.keep is None else self.keep(value.detach())


def _outside(model: LanguageModel) -> dict[str, nn.Module]:
    """Modules that are not in the path, by their own names."""
    inside = ("", "blocks", "path")
    return {name: m for name, m in model.named_modules() if name.split(".", 1)[0] not in inside}


def _names_within(element: nn.Module) -> list[str]:
    names = [name for name, _ in element.named_modules()]
    return names + [_weights_of(name) for name in names if _is_kernel(name)]


def _is_kernel(name: str) -> bool:
    return name.rsplit(".", 1)[-1] == _KERNEL


def _weights_of(kernel_name: str) -> str:
    return kernel_name.removesuffix(_KERNEL) + _WEIGHTS


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if name else prefix
