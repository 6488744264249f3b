"""What a class of one's own builds is tried before any run, and named where it is not what its family builds."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vslm.core.errors import SpecError
from vslm.lab.own_builds import check_builds
from vslm.study.study_file import load_study

HEAD = """
from dataclasses import dataclass
from torch import nn
from vslm import Feedforward, Schedule


@dataclass(frozen=True, kw_only=True)
class Mine(Feedforward):
    def hidden_at(self, width):
        return 4 * width

    def build(self, *, width, scale, output_factor, init):
        BODY


@dataclass(frozen=True, kw_only=True)
class Falls(Schedule):
    def factor(self, done_fraction):
        FACTOR

"""
USE = ('"model.blocks.*.attention.window_tokens": 3', '"model.blocks.*.feedforward": Mine(), "schedule": Falls()')
RIGHT, FALLS = "return nn.Linear(width, width)", "return 1 - done_fraction"


def arms(place: Path, body: str, factor: str = FALLS) -> Any:
    """The small study's arms, one of them with a feedforward and a schedule of its own."""
    study = (place / "study.py").read_text(encoding="utf-8")
    assert USE[0] in study
    head = HEAD.replace("BODY", body).replace("FACTOR", factor)
    (place / "own.py").write_text(head + study.replace(*USE), encoding="utf-8")
    return load_study(place / "own.py").arms


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("nn.Linear(width, width)", r"own.py:12: Mine.build returned None; a torch.nn.modules.module.Module is needed"),
        ("return lambda x: x", r"own.py:12: Mine.build returned <function .*; build and return one"),
        ("return nn.Linear(widht, width)", r"arms.short: cannot be built: NameError: name 'widht' .* at .*own.py:13;"),
    ],
)
def test_a_build_that_fails_or_forgets_is_named_with_its_line(place: Path, body: str, words: str) -> None:
    """Nothing returned, no module returned, an error inside."""
    corpora = {arm: SimpleNamespace(vocabulary=270) for arm in ("full", "short")}
    with pytest.raises(SpecError, match=words):
        check_builds(arms(place, body), corpora)  # type: ignore[arg-type]


def test_what_is_right_is_left_as_it_was(place: Path) -> None:
    """The class has its own `build` afterwards, and a schedule must give a number."""
    corpora = {arm: SimpleNamespace(vocabulary=270) for arm in ("full", "short")}
    right = arms(place, RIGHT)
    build = type(right["short"].model.blocks["0"].feedforward).build
    check_builds(right, corpora)  # type: ignore[arg-type]
    assert type(right["short"].model.blocks["0"].feedforward).build is build
    with pytest.raises(SpecError, match=r"own.py:\d+: Falls.factor\(0.0\) returned None; a number is needed"):
        check_builds(arms(place, RIGHT, "1 - done_fraction"), corpora)  # type: ignore[arg-type]


MISTAKES = {
    "a list as a default": ("    sizes: list = []\n", ["own.py:7", "write a tuple"]),
    "no frozen": ("", ["own.py:7", "write @dataclass(frozen=True, kw_only=True)"]),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_what_dataclasses_refuse_is_said_with_what_to_do(place: Path, vslm: Callable[..., Any], case: str) -> None:
    """A default that can change, and a class that can where its base cannot."""
    field, words = MISTAKES[case]
    arms(place, RIGHT)
    text = (place / "own.py").read_text(encoding="utf-8")
    text = text.replace("class Mine(Feedforward):\n", f"class Mine(Feedforward):\n{field}", 1)
    if not field:
        text = text.replace(
            "@dataclass(frozen=True, kw_only=True)\nclass Mine(Feedforward)", "@dataclass\nclass Mine(SwiGLU)"
        )
        text = text.replace("import Feedforward", "import SwiGLU, Feedforward")
    (place / "own.py").write_text(text, encoding="utf-8")
    said = vslm("plan", "own.py")
    assert said.code == 2
    for word in words:
        assert word in said.err, said.err


def test_python_on_a_study_file_says_how_to_run_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only where a file was run, defined STUDY, and nothing ran it or failed."""
    from vslm.study.study import say_how_to_run

    study = load_study(place / "study.py")
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(STUDY=study))
    say_how_to_run(str(place / "studies" / "my own.py"))
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "`vslm run 'studies/my own.py'`" in said
    say_how_to_run(None)  # a notebook
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(STUDY=3))
    say_how_to_run("study.py")
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(STUDY=study))
    monkeypatch.setattr(sys, "last_type", ValueError, raising=False)
    say_how_to_run("study.py")
    assert capsys.readouterr().out == ""
