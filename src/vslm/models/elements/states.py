"""What a loop does with its state: where it starts, what is put into it, and what it takes from an earlier position.

keep and return     Keep, Return
start               LearnedState, NoiseState (none: the state starts as the stream is)
injection           InjectSum, InjectMatrix (none: the state is all that a loop sees)
per loop            AddVector, one for each loop inside `PerLoop`
across positions    ShiftedState
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, cat, nn

from vslm.core.bounds import Real, Seed
from vslm.core.errors import SpecError
from vslm.core.seeds import derive_seed
from vslm.models.elements.element import Additions, PathElement, Reach, Surroundings
from vslm.models.initialization import Init
from vslm.models.parts.projections import stream_product
from vslm.models.parts.stream import PRIVATE, Stream
from vslm.models.without_storage import table


@dataclass(frozen=True, kw_only=True)
class Keep(PathElement):
    """Saves the stream as it is here, for later visits; the stream goes on unchanged.

    Cost: nothing.

    Args:
        name: under which others find it; it has no colon, which begins the names that elements use among themselves.
    """

    name: str

    def check(self) -> None:
        """Refuse a name that could be an element's own."""
        if PRIVATE in self.name:
            raise SpecError("name", f"found {self.name!r}", f"a name without {PRIVATE!r} is needed")

    def saves(self, around: Surroundings) -> Mapping[str, int]:
        """The stream, under its name."""
        return {self.name: around.width}

    def additions(self, before: Additions) -> Additions:
        """What is kept has as many as the stream here."""
        return before._replace(saved={**before.saved, self.name: (before.stream, before.most)})

    def reach(self, before: Reach, around: Surroundings) -> Reach:
        """What is kept sees as far as the stream here."""
        return before._replace(saved={**before.saved, self.name: before.stream})

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        """The module; it holds nothing."""
        return KeepModule(self.name)


@dataclass(frozen=True, kw_only=True)
class Return(PathElement):
    """The stream is again what was kept: `x <- kept`. What lies between serves its exits only.

    Cost: nothing.

    Args:
        to: the name given to `Keep`.
    """

    to: str

    def needed_names(self) -> tuple[str, ...]:
        """What it goes back to."""
        return (self.to,)

    def additions(self, before: Additions) -> Additions:
        """As many as what was kept: what was added since is no part of the stream."""
        stream, most = before.saved.get(self.to, (before.stream, before.most))
        return before._replace(stream=stream, most=most)

    def reach(self, before: Reach, around: Surroundings) -> Reach:
        """As far as what was kept."""
        return before._replace(stream=before.saved[self.to])

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        """The module; it holds nothing."""
        return ReturnModule(self.to)


@dataclass(frozen=True, kw_only=True)
class NewState(PathElement):
    """Base of what the stream starts anew from; what was in it is gone.

    Args:
        std: deviation of the new state, above 0; the default is that of an embedding where it enters the stream.
    """

    std: Real = 0.2

    def check(self) -> None:
        """Refuse a deviation of zero or less."""
        _check_std(self.std)

    def additions(self, before: Additions) -> Additions:
        """None yet: the stream starts anew."""
        return before._replace(stream=0)

    def reach(self, before: Reach, around: Surroundings) -> Reach:
        """The stream knows no token."""
        return before._replace(stream=0)


@dataclass(frozen=True, kw_only=True)
class LearnedState(NewState):
    """The state starts as one learned vector, the same at every position: `s_0 = r`.

    At the start: normal, deviation `std`.
    Cost: `width` parameters. What was in the stream is gone, so keep it for an injection.

    Args:
        std: of the initial vector, above 0; the default is that of an embedding where it enters the stream.
    """

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        return LearnedStateModule(init.child("start_D").normal((around.width,), self.std))


@dataclass(frozen=True, kw_only=True)
class NoiseState(NewState):
    """The state starts as normal noise: `s_0 ~ N(0, std^2)`, so that loops must find the answer from anywhere.

    In training the noise is drawn anew for every sequence and step, from torch's generator, which a checkpoint keeps.
    In evaluation and generation it is a fixed vector for each position, which depends on `seed` and the position alone:
    the same for every sequence, batch and length, so that a loss can be repeated to the bit.

    Paper: Scaling up Test-Time Compute with Latent Reasoning, Geiping et al., 2025, https://arxiv.org/abs/2502.05171.
    We differ: the fixed noise of evaluation, and a deviation that is the embedding's.
    Cost: no parameter.

    Args:
        std: deviation, above 0; the default is that of an embedding where it enters the stream.
        seed: names the fixed noise.
    """

    seed: Seed = 0

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        """The module, with its noise for every position up to the context."""
        return NoiseStateModule(around.context_tokens, around.width, self.std, self.seed)


@dataclass(frozen=True, kw_only=True)
class InjectSum(PathElement):
    """What was kept is added to the state: `s + e`.

    Paper: End-to-end Algorithm Synthesis with Recurrent Networks, Bansal et al., 2022,
    https://arxiv.org/abs/2202.05826, where the input is recalled in every loop. We differ: a sum, no concatenation.
    Cost: no parameter.

    Args:
        of: the name given to `Keep`.
    """

    of: str

    def needed_names(self) -> tuple[str, ...]:
        """What is injected."""
        return (self.of,)

    def reach(self, before: Reach, around: Surroundings) -> Reach:
        """As far as either."""
        return before._replace(stream=max(before.stream, before.saved[self.of]))

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        """The module; it holds nothing."""
        return InjectSumModule(self.of)


@dataclass(frozen=True, kw_only=True)
class InjectMatrix(PathElement):
    """State and what was kept go through one matrix: `A [s; e]`.

    Paper: Scaling up Test-Time Compute with Latent Reasoning, Geiping et al., 2025, https://arxiv.org/abs/2502.05171.
    At the start: A = [I, I] / sqrt(2), a sum that keeps the scale of two independent streams.
    Cost: 2 * width ** 2 parameters, the same in all loops.

    Args:
        of: the name given to `Keep`.
    """

    of: str

    def needed_names(self) -> tuple[str, ...]:
        """What is injected."""
        return (self.of,)

    def reach(self, before: Reach, around: Surroundings) -> Reach:
        """As far as either."""
        return before._replace(stream=max(before.stream, before.saved[self.of]))

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        weight = init.child("weight").constant((around.width, 2 * around.width), 0.0)
        for half in (weight[:, : around.width], weight[:, around.width :]):
            half.diagonal().fill_(1 / math.sqrt(2))
        return InjectMatrixModule(self.of, weight)


@dataclass(frozen=True, kw_only=True)
class AddVector(PathElement):
    """A learned vector is added: `s + u`. One for each loop tells the loops apart.

    At the start: u = 0, so it changes nothing.
    Cost: `width` parameters.
    """

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        return AddVectorModule(init.child("vector_D").constant((around.width,), 0.0))


@dataclass(frozen=True, kw_only=True)
class ShiftedState(PathElement):
    """The next pass starts from what was kept and the last stream of the position before.

        s_t = e_t + U h_{t-1},   h the stream that arrives here, h_{-1} = 0

    Between passes over the whole path it carries the state of one position to the next, for all positions at once:
    after j passes a state has come j positions far. A position sees only itself and earlier ones, since h_{t-1} does.

    Paper: Addressing Some Limitations of Transformers with Feedback Memory, Fan et al., 2020,
    https://arxiv.org/abs/2002.09402, for the aim. We differ: passes in parallel in place of steps in sequence, one
    vector and no memory.
    At the start: U = 0, so that every pass starts as the first did, and output projections go by one pass.
    Cost: width ** 2 parameters; each pass costs a pass.

    Args:
        of: the name given to `Keep`: where the first pass started.
    """

    of: str

    def needed_names(self) -> tuple[str, ...]:
        """Where the first pass started."""
        return (self.of,)

    def additions(self, before: Additions) -> Additions:
        """As many as what was kept: the stream starts anew from there, and U from zero."""
        return before._replace(stream=before.saved.get(self.of, (before.stream, 0))[0])

    def reach(self, before: Reach, around: Surroundings) -> Reach:
        """One position further than the stream that arrives, if that sees a token."""
        further = before.stream + 1 if before.stream else 0
        return before._replace(stream=max(further, before.saved[self.of]))

    def build(self, *, around: Surroundings, kernel: str | None, init: Init) -> nn.Module:
        return ShiftedStateModule(self.of, init.child("weight").constant((around.width, around.width), 0.0))


class KeepModule(nn.Module):
    """See `Keep`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, stream: Stream) -> Stream:
        """The stream, saved."""
        return stream._replace(saved={**stream.saved, self.name: stream.x_BTD})


class ReturnModule(nn.Module):
    """See `Return`."""

    def __init__(self, to: str) -> None:
        super().__init__()
        self.to_name = to

    def forward(self, stream: Stream) -> Stream:
        """What was kept."""
        return stream._replace(x_BTD=stream.saved[self.to_name])


class LearnedStateModule(nn.Module):
    """See `LearnedState`."""

    def __init__(self, start_D: Tensor) -> None:
        super().__init__()
        self.start_D = nn.Parameter(start_D)

    def forward(self, stream: Stream) -> Stream:
        """The same vector everywhere."""
        return stream._replace(x_BTD=self.start_D.to(stream.x_BTD.dtype).expand_as(stream.x_BTD))


class NoiseStateModule(nn.Module):
    """See `NoiseState`. The noise is a buffer that is not saved: it follows from the arguments."""

    noise_TD: Tensor
    has_modes: ClassVar[bool] = True  # it draws anew in training

    def __init__(self, context_tokens: int, width: int, std: float, seed: int) -> None:
        super().__init__()
        self.width, self.std, self.seed = width, std, seed

        def noise_TD() -> Tensor:  # noqa: N802  # the letters of its axes
            seeds = (derive_seed("noise", seed, position) for position in range(context_tokens))
            return torch.stack([torch.randn(width, generator=torch.Generator().manual_seed(s)) for s in seeds]) * std

        self.register_buffer("noise_TD", table((context_tokens, width), noise_TD), persistent=False)

    def lengthened(self, context_tokens: int) -> nn.Module:
        """The noise of a position does not depend on how many there are."""
        longer = NoiseStateModule(context_tokens, self.width, self.std, self.seed).to(self.noise_TD.device)
        return longer.train(self.training)

    def forward(self, stream: Stream) -> Stream:
        """Noise in the place of the stream."""
        x_BTD = stream.x_BTD
        if self.training:
            return stream._replace(x_BTD=torch.randn_like(x_BTD) * self.std)
        first, num_tokens = stream.past.first_position, x_BTD.shape[1]
        if first < 0:  # what stands before every text: as far from position 0 on the other side
            noise_TD = self.noise_TD[torch.arange(first, first + num_tokens, device=x_BTD.device).abs()]
        else:
            noise_TD = self.noise_TD[first : first + num_tokens]
        return stream._replace(x_BTD=noise_TD.to(x_BTD.dtype).expand_as(x_BTD))


class InjectSumModule(nn.Module):
    """See `InjectSum`."""

    def __init__(self, of: str) -> None:
        super().__init__()
        self.of = of

    def forward(self, stream: Stream) -> Stream:
        return stream._replace(x_BTD=stream.x_BTD + stream.saved[self.of])


class InjectMatrixModule(nn.Module):
    """See `InjectMatrix`."""

    def __init__(self, of: str, weight_DF: Tensor) -> None:
        super().__init__()
        self.of = of
        self.weight = nn.Parameter(weight_DF)

    def stream_maps(self) -> tuple[nn.Parameter, ...]:
        return (self.weight,)

    def forward(self, stream: Stream) -> Stream:
        """The product."""
        both = cat((stream.x_BTD, stream.saved[self.of]), dim=-1)
        return stream._replace(x_BTD=stream_product(both, self.weight))


class AddVectorModule(nn.Module):
    """See `AddVector`."""

    def __init__(self, vector_D: Tensor) -> None:
        super().__init__()
        self.vector_D = nn.Parameter(vector_D)

    def forward(self, stream: Stream) -> Stream:
        return stream._replace(x_BTD=stream.x_BTD + self.vector_D)


class ShiftedStateModule(nn.Module):
    """See `ShiftedState`."""

    def __init__(self, of: str, weight_DD: Tensor) -> None:
        super().__init__()
        self.of = of
        self.weight = nn.Parameter(weight_DD)

    def forward(self, stream: Stream) -> Stream:
        """The start of the next pass."""
        state_BTD = stream.x_BTD
        shifted_BTD = cat((stream.past.before(state_BTD), state_BTD[:, :-1]), dim=1)
        return stream._replace(x_BTD=stream.saved[self.of] + stream_product(shifted_BTD, self.weight))


def _check_std(std: float) -> None:
    if std <= 0:
        raise SpecError("std", f"found {std}", "a number above 0 is needed")
