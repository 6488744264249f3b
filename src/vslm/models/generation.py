"""Text from a model, a token at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor

from vslm.core.errors import RunError
from vslm.models.language_model import LanguageModel
from vslm.models.parts.past import TextSoFar

_FLOAT32 = torch.finfo(torch.float32)


@torch.no_grad()
def generate(
    model: LanguageModel,
    prompt_T: Tensor,
    *,
    num_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: torch.Generator,
) -> Iterator[int]:
    """Yield `num_tokens` tokens that follow a prompt; only the last `context_tokens` are seen.

    Up to the context each token is one new position; what earlier positions left is kept by visit. Beyond it every
    token moves all positions, so the whole window is computed again, as it always is with an element that keeps
    nothing (`can_continue`).

    Args:
        model: is put in evaluation mode.
        prompt_T: one token or more.
        num_tokens: how many to yield.
        temperature: logits are divided by it; 0 takes the likeliest token, and so does what is nearly 0, but for ties.
        top_k: only the k likeliest tokens can be drawn; None: all.
        generator: every draw comes from it, on the CPU.

    Raises: RunError for a model whose logits are no numbers.
    """
    model.eval()
    tokens_T = prompt_T
    so_far = TextSoFar()
    for _ in range(num_tokens):
        if not model.can_continue or len(tokens_T) > model.context_tokens:
            so_far = TextSoFar()
        logits_V = model.next_logits(tokens_T[None, -model.context_tokens :], so_far)[0].float().cpu()
        token = draw(logits_V, temperature=temperature, top_k=top_k, generator=generator)
        yield token
        tokens_T = torch.cat([tokens_T, tokens_T.new_tensor([token])])


def draw(logits_V: Tensor, *, temperature: float, top_k: int | None, generator: torch.Generator) -> int:
    """A token that follows; arguments as of `generate`. Writes over the logits.

    Args:
        logits_V: of the next token, fp32, on the CPU.
        temperature, top_k, generator: see there.
    Raises: RunError for logits that are no numbers.
    """
    if not bool(logits_V.max().isfinite()):
        found = "its logits are not finite, so no token can be drawn"
        raise RunError("the model", found, "", "its training diverged, or its weights are damaged")
    if temperature == 0:
        return int(logits_V.argmax())
    if top_k is not None and top_k < len(logits_V):
        logits_V[logits_V < logits_V.topk(top_k).values[-1]] = -torch.inf
    return int(torch.multinomial(_probabilities(logits_V, temperature), 1, generator=generator))


def _probabilities(logits_V: Tensor, temperature: float) -> Tensor:
    """Softmax of the logits over a temperature, for any above 0.

    The largest is subtracted before and not after the division, so that nothing overflows but what has probability 0;
    a temperature that fp32 would take for 0 or for infinite is the nearest one that it holds.
    """
    held = min(max(temperature, _FLOAT32.tiny), _FLOAT32.max)
    return torch.softmax((logits_V - logits_V.max()) / held, dim=-1)
