"""A model with another root, written as one call: what a study varies to ask where the stream has to start.

Each function takes a model whose stream starts from the token, changes its root and what its blocks read, and returns a
`Model`, to be printed, varied and compared like any other. `embedding_width` frees the embedding from the stream's
width; a tied readout then goes through a matrix (`TiedProjected`).
"""

import dataclasses
from collections.abc import Callable

from vslm.core.errors import SpecError
from vslm.core.frozen import FrozenDict
from vslm.models.elements.blocks import Block
from vslm.models.elements.two_streams import MemoryBlock, TwoStreamBlock
from vslm.models.language_model import Model
from vslm.models.parts.learned_roots import LearnedRoot, MixedRoot, ProjectedRoot, ShiftedRoot, WidenedRoot
from vslm.models.parts.positions import NoPositions
from vslm.models.parts.readouts import Readout, Tied, TiedProjected
from vslm.models.parts.reads import MemoryReads, Reads, StreamReads
from vslm.models.parts.roots import Root, TokenPositionRoot, TokenRoot
from vslm.models.path.repeats import Repeat
from vslm.models.path.stack import Entry

_MEMORY, _STREAM = MemoryReads(), StreamReads()


def shifted_root(model: Model) -> Model:
    """The stream starts as the token plus a learned vector: a bias, the control of all others."""
    return _validated(dataclasses.replace(model, root=ShiftedRoot(tokens=model.root)))


def mixed_root(model: Model, *, gate_per_coordinate: bool = False) -> Model:
    """The stream starts as a learned mix of the token and a learned vector; at the start it is the token."""
    root = MixedRoot(tokens=model.root, gate_per_coordinate=gate_per_coordinate)
    return _validated(dataclasses.replace(model, root=root))


def learned_root(
    model: Model,
    *,
    first_reads: Reads = _MEMORY,
    later_reads: Reads = _STREAM,
    embedding_width: int | None = None,
) -> Model:
    """The stream starts as a learned vector; tokens are reached only through attention.

    As it stands, the first block reads the tokens and later ones are ordinary. With `BothReads()` for both, every block
    may read the tokens.

    Args:
        model: with blocks that know positions by themselves (`Rotary`), because the stream has none at its start.
        first_reads: what the keys and values of the first block of the path read.
        later_reads: the same for all other blocks.
        embedding_width: of embedding and token memory; None: the stream's.

    Raises: SpecError for a root other than `TokenRoot`, or a first block without positions.
    """
    first, block = next(((where, e) for where, e in _elements(model) if isinstance(e, Block)), ("path", None))
    if block is None:
        raise SpecError(first, "no block", "one that reads the tokens is needed")
    if isinstance(block.attention.positions, NoPositions):
        raise SpecError(
            f"{first}.attention.positions",
            "NoPositions() under a learned root: every query would be the same",
            "positions in the attention are needed",
            "use Rotary()",
        )
    root = LearnedRoot(width=model.root.stream_width, tokens=_tokens(model, embedding_width))

    def reading(where: str, element: Entry) -> Entry:
        reads = first_reads if where == first else later_reads
        return dataclasses.replace(element, reads=reads) if isinstance(element, Block) else element

    return _validated(dataclasses.replace(_with_elements(model, reading), root=root, readout=_readout(model, root)))


def widened_root(model: Model, *, embedding_width: int) -> Model:
    """The stream keeps its width, and starts as a narrower embedding of the token with learned coordinates behind it.

    Raises: SpecError for a root that is no embedding, or an embedding that leaves no learned coordinate.
    """
    learned_width = model.root.stream_width - embedding_width
    if learned_width < 1:
        raise SpecError(
            "embedding_width", f"{embedding_width} in a stream of width {model.root.stream_width}", "less is needed"
        )
    root = WidenedRoot(learned_width=learned_width, tokens=_embedding(model, embedding_width))
    return _validated(dataclasses.replace(model, root=root, readout=_readout(model, root)))


def projected_root(model: Model, *, embedding_width: int) -> Model:
    """The stream starts as a matrix times the token's embedding, which has a width of its own.

    Raises: SpecError for a root that is no embedding.
    """
    root = ProjectedRoot(width=model.root.stream_width, tokens=_embedding(model, embedding_width))
    return _validated(dataclasses.replace(model, root=root, readout=_readout(model, root)))


def two_streams(model: Model, *, embedding_width: int | None = None) -> Model:
    """A content stream that starts from the token, and a prediction stream that starts learned and reads it.

    Behind each visit but the last comes a block of the content stream, with weights of its own, named `content_NAME`:
    nothing reads what the last one would write.

    Args:
        model: of blocks only.
        embedding_width: of the content stream; None: the prediction stream's.

    Raises: SpecError for a root other than `TokenRoot`, or an element of the path that is no block.
    """
    root = LearnedRoot(width=model.root.stream_width, tokens=_tokens(model, embedding_width))
    prediction = _with_elements(model, _reading_memory)
    blocks, path = dict(prediction.blocks), []
    for (where, element), step in list(zip(_elements(model), prediction.path, strict=True))[:-1]:
        content = MemoryBlock(block=dataclasses.replace(_block(where, element), width=root.memory_width))
        path += [step, f"content_{step}" if isinstance(step, str) else content]
        if isinstance(step, str):
            blocks[f"content_{step}"] = content
    path.append(prediction.path[-1])
    return _validated(
        dataclasses.replace(
            model, root=root, blocks=FrozenDict(blocks), path=tuple(path), readout=_readout(model, root)
        )
    )


def shared_two_streams(model: Model) -> Model:
    """The same with one block for both streams at each visit; the last visit is of the prediction stream only.

    Raises: SpecError for a root other than `TokenRoot`, or an element of the path that is no block.
    """
    root = LearnedRoot(width=model.root.stream_width, tokens=_tokens(model, None))
    visited = [where for where, _ in _elements(model)]

    def on_both(where: str, element: Entry) -> Entry:
        block = _reading_memory(where, element)
        return TwoStreamBlock(block=block) if where in visited[:-1] else block

    return _validated(dataclasses.replace(_with_elements(model, on_both), root=root, readout=_readout(model, root)))


def _tokens(model: Model, embedding_width: int | None) -> Root:
    if not isinstance(model.root, TokenRoot):
        raise SpecError(
            "root",
            f"found {type(model.root).__name__}",
            "TokenRoot is needed: a stream that does not start from the token has no place for what others add to it",
        )
    return model.root if embedding_width is None else dataclasses.replace(model.root, width=embedding_width)


def _embedding(model: Model, embedding_width: int) -> Root:
    """The root of a stream that still starts from the token, at another width."""
    if not isinstance(model.root, TokenRoot | TokenPositionRoot):
        found, allowed = f"found {type(model.root).__name__}", "TokenRoot or TokenPositionRoot is needed"
        raise SpecError("root", found, allowed, "change the root of a model whose stream starts from the token")
    return dataclasses.replace(model.root, width=embedding_width)


def _readout(model: Model, root: Root) -> Readout:
    if isinstance(model.readout, Tied) and root.stream_width != root.memory_width:
        return TiedProjected(norm=model.readout.norm)
    return model.readout


def _block(where: str, element: Entry) -> Block:
    if not isinstance(element, Block):
        raise SpecError(where, f"{type(element).__name__} in a path of two streams", "only blocks can be there")
    return element


def _reading_memory(where: str, element: Entry) -> Block:
    return dataclasses.replace(_block(where, element), reads=MemoryReads())


def _elements(model: Model) -> list[tuple[str, Entry]]:
    """Where each step of the path stands, and what is there; unlike `model.visits()`, without checks of widths."""
    return [
        (f"blocks.{step}", model.blocks[step]) if isinstance(step, str) else (f"path.{place}", _unrepeated(step, place))
        for place, step in enumerate(model.path)
    ]


def _with_elements(model: Model, change: Callable[[str, Entry], Entry]) -> Model:
    blocks = FrozenDict({name: change(f"blocks.{name}", element) for name, element in model.blocks.items()})
    path = tuple(
        step if isinstance(step, str) else change(f"path.{place}", _unrepeated(step, place))
        for place, step in enumerate(model.path)
    )
    return dataclasses.replace(model, blocks=blocks, path=path)


def _unrepeated(step: Entry | Repeat, place: int) -> Entry:
    if isinstance(step, Repeat):
        do = "write the visits out, or change the root of the model that is looped"
        raise SpecError(f"path.{place}", "a repeated part", "a path of visits is needed", do)
    return step


def _validated(model: Model) -> Model:
    model.validate()
    return model
