# ruff: noqa: D101 (the names of these classes say what is wrong with them)
"""Mistakes with a class of one's own: four parts, with the class, its file and its line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from vslm import Feedforward, Measure, Normalizer, SpecError, uniform
from vslm.core.specs import Spec

SIZES = {"depth": 1, "width": 16, "heads": 2, "context_tokens": 17}


class Methods(Feedforward):
    """A base of one's own with all that a feedforward has."""

    def hidden_at(self, width: int) -> int:
        """Numbers in the middle."""
        return 4 * width

    def build(self, *, width: int, scale: Any, output_factor: float, init: Any) -> nn.Module:
        """The module."""
        return nn.Identity()


@dataclass(frozen=True, kw_only=True)
class Right(Methods):
    """Nothing is wrong with it."""

    hidden: int = 3
    sizes: tuple[int, ...] = (1, 2)
    named: Mapping[str, float] = field(default_factory=dict)
    inner: Feedforward | None = None
    MOST = 5
    kind_of: ClassVar[str] = "right"


class NoDataclass(Methods):
    hidden: int = 3


class NoFieldsNoDataclass(Methods):
    pass


@dataclass
class Changes(Methods):
    hidden: int = 3


@dataclass(frozen=True, kw_only=True)
class NoType(Right):
    hidden = 5


@dataclass(frozen=True, kw_only=True)
class HoldsAFunction(Methods):
    activation: Callable[..., Any] = torch.relu


@dataclass(frozen=True, kw_only=True)
class HoldsAModule(Methods):
    activation: nn.Module | None = None


@dataclass(frozen=True, kw_only=True)
class HoldsAList(Methods):
    sizes: list[int] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Lacks(Feedforward):
    def hidden_at(self, width: int) -> int:
        return 4 * width


@dataclass(frozen=True, kw_only=True)
class TakesLess(Methods):
    def build(self, width: int) -> nn.Module:  # type: ignore[override]
        return nn.Identity()


@dataclass(frozen=True, kw_only=True)
class AsksForMore(Methods):
    def build(self, *, width: int, scale: Any, output_factor: float, init: Any, bias: bool) -> nn.Module:  # type: ignore
        return nn.Identity()


@dataclass(frozen=True, kw_only=True)
class NoName(Measure):
    def steps(self, num_steps: int) -> list[int]:
        return [num_steps]

    def build(self, **kwargs: Any) -> Any:
        return None


@dataclass(frozen=True, kw_only=True)
class SaysNotWhether(Normalizer):
    def build(self, *, heads: int, init: Any) -> nn.Module:
        return nn.Identity()


@dataclass(frozen=True, kw_only=True)
class NoFamily(Spec):
    hidden: int = 3


class Module(nn.Module):
    """No spec."""


WRONG = {
    NoDataclass: ["NoDataclass is no dataclass", "write @dataclass(frozen=True, kw_only=True)"],
    NoFieldsNoDataclass: ["NoFieldsNoDataclass is no dataclass"],
    Changes: ["Changes is a dataclass that can change", "frozen=True"],
    NoType: ["NoType.hidden = 5 has no type, so it is no field", "write hidden: int = 5"],
    HoldsAFunction: ["HoldsAFunction.activation is declared as", "Callable", "an Activation"],
    HoldsAModule: ["HoldsAModule.activation is declared as Module", "make the module in `build`"],
    HoldsAList: ["HoldsAList.sizes is declared as list[int]", "tuple[int, ...]"],
    Lacks: ["Lacks has no build", "every Feedforward has build(self, *, width, scale,"],
    TakesLess: ["TakesLess.build does not take scale, output_factor, init", "def build(self, *, width, scale,"],
    AsksForMore: ["AsksForMore.build asks for bias", "write def build(self, *, width, scale,"],
    NoName: ["NoName.recorded_as is not given", "write recorded_as: ClassVar[str] = "],
    SaysNotWhether: ["SaysNotWhether.sums_to_one is not given"],
}


@pytest.mark.parametrize("kind", WRONG, ids=lambda kind: kind.__name__)
def test_a_wrong_class_is_named_with_its_line(kind: type) -> None:
    """When its first value is made, and at the second, too."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(lines, 1) if text.startswith(f"class {kind.__name__}("))
    for _ in range(2):
        with pytest.raises(SpecError) as refused:
            kind()
        assert str(refused.value).startswith(__file__)
        number = int(str(refused.value)[len(__file__) + 1 :].partition(":")[0])
        assert 0 <= number - line <= 2  # of the class, or of its method
        for words in WRONG[kind]:
            assert words in str(refused.value), str(refused.value)


def test_a_right_class_is_not_refused() -> None:
    """Nor one that derives from a final class and changes a method alone."""

    class Derived(Right):
        def hidden_at(self, width: int) -> int:
            return 5 * width

    assert Right(hidden=4).hidden == 4
    assert Derived(sizes=[3]).sizes == (3,)
    assert uniform(**SIZES, feedforward=Right(inner=Derived())).blocks["0"].feedforward.inner.hidden_at(2) == 10


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Right, ["found the class Right itself", "Feedforward is needed", "write Right()"]),
        (Module, ["found the class Module, a torch module", "docs/adding-a-feedforward.md"]),
        (nn.Identity(), ["found a torch module (Identity)", "which builds one"]),
        (torch.relu, ["found the function relu", "a record holds numbers"]),
        (lambda x: x, ["found the function <lambda>"]),
        (NoFamily(), ["found NoFamily(hidden=3)", "let NoFamily derive from Feedforward: class NoFamily(Feedforward)"]),
    ],
)
def test_what_is_no_value_of_the_family_is_told_what_it_is(value: Any, words: list[str]) -> None:
    """A class, code, or a spec of no family, where a feedforward is meant."""
    with pytest.raises(SpecError) as refused:
        uniform(**SIZES, feedforward=value)
    assert str(refused.value).startswith("feedforward: ")
    for word in words:
        assert word in str(refused.value), str(refused.value)


def test_a_value_of_any_type_is_no_code_either() -> None:
    """Where a field takes anything."""

    @dataclass(frozen=True, kw_only=True)
    class Anything(Spec):
        value: Any = None

    with pytest.raises(SpecError, match="value: found the function"):
        Anything(value=len)
