"""Specs: refused, written, read back, compared, varied."""

import copy
import pickle
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from vslm.core.errors import SpecError
from vslm.core.frozen import FrozenDict
from vslm.core.paths import parse_change, vary
from vslm.core.seeds import derive_seed
from vslm.core.specs import Spec, differences, fingerprint, from_plain, to_plain


@dataclass(frozen=True, kw_only=True)
class Inner(Spec):
    """A part."""

    heads: int = 2
    rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class Outer(Spec):
    """A whole."""

    named: Mapping[str, Inner] = FrozenDict({"a": Inner(), "b": Inner(heads=3)})
    listed: tuple[Inner, ...] = (Inner(),)
    name: str = "x"


KINDS = {"Inner": Inner, "Outer": Outer}


def test_a_spec_survives_being_written_copied_and_pickled():
    """Plain and back is equal, and so are copies."""
    outer = vary(Outer(), {"named.a.rate": 1})
    assert outer.named["a"].rate == 1.0
    assert from_plain(to_plain(outer), KINDS) == outer
    assert copy.deepcopy(outer) == outer == pickle.loads(pickle.dumps(outer))
    assert hash(outer) == hash(copy.deepcopy(outer))


def test_a_fingerprint_is_pinned():
    """Renaming a class or a field is a decision, not an accident."""
    assert fingerprint(Inner()) == "b500ccaebfb7"
    assert fingerprint(Inner()) != fingerprint(Inner(heads=3))


def test_differences_are_dotted_paths():
    """Exactly the leaves that differ."""
    varied = vary(Outer(), {"named.*.heads": 5, "name": "y"})
    found = list(differences(Outer(), varied))
    assert found == [("named.a.heads", 2, 5), ("named.b.heads", 3, 5), ("name", "x", "y")]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("named.a.hedas", 1, "did you mean heads?"),
        ("named.*.hedas", 1, "did you mean heads?"),
        ("named.c.heads", 1, "known: a, b"),
        ("listed.7.heads", 1, "known: 0"),
        ("named.a.heads", "many", "int is needed"),
        ("named.a.heads", True, "int is needed"),
        ("named.a.rate", float("nan"), "a finite number is needed"),
        ("name.x", 1, "has no parts"),
        ("", 1, "a dotted path is needed"),
    ],
)
def test_a_wrong_path_or_value_is_answered_in_words(path: str, value: object, words: str):
    """Where, what was found, what is allowed."""
    with pytest.raises(SpecError, match=words.replace("?", r"\?")):
        vary(Outer(), {path: value})


def test_unknown_fields_are_refused_with_the_nearest_name():
    """In the constructor and when reading back."""
    with pytest.raises(SpecError, match="did you mean heads"):
        Inner(hedas=3)  # type: ignore[call-arg]
    with pytest.raises(SpecError, match="no such field"):
        from_plain({"kind": "Inner", "heads": 1, "rate": None, "extra": 1}, KINDS)
    with pytest.raises(SpecError, match="missing in the record"):
        from_plain({"kind": "Inner", "heads": 1}, KINDS)
    with pytest.raises(SpecError, match="unknown kind"):
        from_plain({"kind": "Outter"}, KINDS)


def test_the_command_line_speaks_the_same_paths():
    """Literals, specs, strings."""
    assert parse_change("a.b=32", KINDS) == ("a.b", 32)
    assert parse_change("a=None", KINDS) == ("a", None)
    assert parse_change("a=Inner(heads=7)", KINDS) == ("a", Inner(heads=7))
    assert parse_change("a=some text", KINDS) == ("a", "some text")
    with pytest.raises(SpecError, match="unknown class"):
        parse_change("a=Iner()", KINDS)
    with pytest.raises(SpecError, match="PATH=VALUE"):
        parse_change("a", KINDS)


def test_seeds_depend_on_every_name_and_its_type():
    """No two ways to the same number."""
    assert len({derive_seed("a", 1), derive_seed("a", "1"), derive_seed("a1"), derive_seed(1, "a")}) == 4
    assert 0 <= derive_seed("x") < 2**63
