"""What a class of the user's own reaches: all that its numbers depend on in the user's files, and nothing else."""

from pathlib import Path

import pytest

from vslm.core.own_code import OwnText, Reached
from vslm.core.user_modules import find_module, is_users_file, modules_used

STUDY = '''
"""A study."""
import os, torch
from torch import tanh as act
from shared import half, sizes
import pack.inner
from pack import outer as out

WIDTH = 4
WIDTH += 1
OTHER = 3
QUESTION = "Why?"
TABLE = {"a": 1}
TABLE["a"] = 2
TABLE.update(b=3)
torch.manual_seed(5)

def helper(x):
    """Its docstring."""
    return act(x) * deep(x)  # a comment

def deep(x):
    return half(x) + pack.inner.third(x)

def beside(x):
    return OTHER

class Base:
    scale = WIDTH

class Mine(Base):
    def build(self):
        from late import later
        width = TABLE["a"]  # a local name
        return helper(sizes.WIDE) + out.there() + later() + width

base = Mine()
STUDY = (QUESTION, base)
print(STUDY)
'''
SHARED = "HALF = 0.5\n\ndef half(x):\n    return x * HALF\n\ndef unused():\n    return 1\n"
FILES = {
    "shared.py": SHARED,
    "sizes.py": "WIDE = 7\nNARROW = 5\n",
    "pack/__init__.py": "",
    "pack/inner.py": "from .near import K\n\ndef third(x):\n    return x / K\n",
    "pack/near.py": "K = 3\n",
    "pack/outer.py": "def there():\n    return 1\n",
    "late.py": "def later():\n    return 1\n",
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A study with modules of every kind beside it."""
    (tmp_path / "pack").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    # `from shared import sizes` reads a module through another one.
    (tmp_path / "shared.py").write_text("import sizes\n" + SHARED, encoding="utf-8")
    return tmp_path


def parts(place: Path, text: str = STUDY, name: str = "Mine") -> dict[str, str]:
    """What the class reaches."""
    reached = Reached((place,))
    reached.use(OwnText(text), name)
    return reached.parts


def test_everything_that_a_class_uses_is_reached_and_nothing_else(place: Path) -> None:
    """Base, helpers of helpers, constants with what is done to them, modules through modules, imports in functions."""
    assert set(parts(place)) == {
        "class Mine",
        "class Base",
        "function helper",
        "function deep",
        "WIDTH",
        "TABLE",
        "import act",
        "shared.py: function half",
        "shared.py: HALF",
        "sizes.py: WIDE",
        "pack/inner.py: function third",
        "pack/near.py: K",
        "pack/outer.py: function there",
        "late.py: function later",
    }


def test_a_module_as_a_value_is_reached_whole(place: Path) -> None:
    """Whoever has it may ask it for anything."""
    found = parts(place, "import sizes\n\nclass Mine:\n    def build(self):\n        return vars(sizes)\n")
    assert set(found) == {"class Mine", "sizes.py: WIDE", "sizes.py: NARROW"}


def test_stars_are_followed(place: Path) -> None:
    """`from shared import *`."""
    found = parts(place, "from shared import *\n\nclass Mine:\n    def build(self):\n        return half(1)\n")
    assert set(found) == {"class Mine", "shared.py: HALF", "shared.py: function half"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Its docstring", "Another"),
        ("# a comment", "# another one"),
        ('"Why?"', '"Why not?"'),
        ("base = Mine()", "base = 3"),
        ("OTHER = 3", "OTHER = 4"),
        ("manual_seed(5)", "manual_seed(6)"),
        ("    return act(x) * deep(x)", "    return (act(x)\n        * deep(x))"),
        ("width = TABLE", "width  =  TABLE"),
    ],
)
def test_what_changes_no_number_changes_no_digest(place: Path, old: str, new: str) -> None:
    """Comments, docstrings, layout, the question, the arms, names that it does not use."""
    assert old in STUDY
    assert parts(place, STUDY.replace(old, new)) == parts(place)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("helper(sizes.WIDE)", "helper(5)", {"class Mine", "sizes.py: WIDE"}),
        ("scale = WIDTH", "scale = WIDTH + 1", {"class Base"}),
        ("WIDTH += 1", "WIDTH += 2", {"WIDTH"}),
        ('TABLE["a"] = 2', 'TABLE["a"] = 3', {"TABLE"}),
        ("b=3", "b=4", {"TABLE"}),
        ("import tanh as act", "import relu as act", {"import act"}),
        ("* deep(x)", "- deep(x)", {"function helper"}),
        ("base = Mine()", "Mine.build = deep", {"Mine"}),
    ],
)
def test_what_may_change_a_number_is_named(place: Path, old: str, new: str, changed: set[str]) -> None:
    """By file and by what it is there."""
    before, now = parts(place), parts(place, STUDY.replace(old, new))
    assert {name for name in {*before, *now} if before.get(name) != now.get(name)} == changed


def test_a_change_in_a_module_beside_is_named_with_its_file(place: Path) -> None:
    """However deep."""
    before = parts(place)
    (place / "pack" / "near.py").write_text("K = 4\nUNUSED = 1\n", encoding="utf-8")
    now = parts(place)
    assert [name for name in now if before[name] != now[name]] == ["pack/near.py: K"]


def test_the_source_of_what_is_reached_runs_by_itself() -> None:
    """Of a notebook whose cells ran twice the last ones count, and nothing that it did beside."""
    cells = "WIDTH = 3\ndef helper():\n    return 1\nclass Mine:\n    size = helper() + WIDTH\nrun(Mine)\nWIDTH = 5\n"
    again = "def helper():\n    return WIDTH\nclass Mine:\n    size = helper() + WIDTH\nrun(Mine)\n"
    text, reached = OwnText(cells + again), Reached()
    reached.use(text, "Mine")
    names: dict = {}
    exec(reached.source(text), names)
    assert names["Mine"].size == 10
    assert "run(" not in reached.source(text)
    assert reached.source(text).count("class Mine") == 1


def test_a_statement_that_ran_earlier_sees_what_was_there_then() -> None:
    """Redefined later or not."""
    text, reached = OwnText("X = 1\nY = X + 1\nX = 5\nclass Mine:\n    size = Y + X\n"), Reached()
    reached.use(text, "Mine")
    names: dict = {}
    exec(reached.source(text), names)
    assert names["Mine"].size == 7


def test_the_users_modules_are_told_from_others(place: Path) -> None:
    """Neither Python's, nor installed ones, nor the package."""
    text = "import os, numpy, vslm.core.specs\nimport pack.inner\nfrom shared import half\n"
    assert set(modules_used(text, (place,))) == {"pack", "pack.inner", "pack.near", "shared", "sizes"}
    assert find_module("numpy", (place,)) is None
    assert not is_users_file(Path(pytest.__file__))
    (place / "vslm.py").touch()
    (place / "random.py").touch()
    assert find_module("vslm", (place,)) is None
    assert find_module("random", (place,)) is None
