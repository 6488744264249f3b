"""The house itself: every spec is in the catalog, and quick commands stay quick."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import time_limit
import vslm
from vslm.core.specs import Spec
from vslm.study.catalog import KINDS

ROOT = Path(__file__).parents[2]
ROOMS = sorted(path.parent.name for path in (ROOT / "src" / "vslm").glob("*/__init__.py"))
ROOMS = [room for room in ROOMS if (ROOT / "tests" / room).is_dir()]


def specs_of_the_package() -> dict[str, type]:
    """Every final spec class that a module of the package defines."""
    found: dict[str, type] = {}
    for module_info in pkgutil.walk_packages(vslm.__path__, "vslm."):
        if module_info.name == "vslm.runs.worker":
            continue
        module = importlib.import_module(module_info.name)
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Spec) and value.__module__ == module.__name__:
                assert found.setdefault(value.__name__, value) is value, f"two specs are named {value.__name__}"
    families = {base for value in found.values() for base in value.__mro__[1:]}
    return {name: value for name, value in found.items() if value not in families and not inspect.isabstract(value)}


def test_the_catalog_is_complete_and_names_are_unique():
    """A class that is missing there could not be read back."""
    assert specs_of_the_package() == KINDS


def test_every_public_name_exists():
    """`from vslm import ...` for all of them."""
    for name in vslm.__all__:
        assert getattr(vslm, name) is not None


def test_help_and_ls_never_import_torch():
    """A second of waiting for nothing."""
    code = "import sys, vslm.cli, vslm.report.numbers.tables; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("hook", [time_limit.pytest_runtest_setup, time_limit.pytest_runtest_call])
def test_a_test_that_takes_long_and_is_not_marked_slow_fails(
    hook: Callable, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what it used of a core, in what is made for it and in itself; with its name and with what to do."""
    monkeypatch.setattr(time_limit, "MOST_SECONDS", 0.05)

    def taking(seconds: float) -> None:
        item, start = hook(request.node), time.process_time()
        next(item)
        while time.process_time() < start + seconds:
            pass
        next(item, None)

    taking(0.0)
    with pytest.raises(pytest.fail.Exception, match=rf"{request.node.name.partition('[')[0]}.* or mark it"):
        taking(0.1)
    request.node.add_marker("slow")
    taking(0.1)


def is_slow(node: ast.AST) -> bool:
    """Whether a mark says so."""
    return any(isinstance(part, ast.Attribute) and part.attr == "slow" for part in ast.walk(node))


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_tried_by_tests_that_are_not_slow(room: str) -> None:
    """Who runs `make test` alone has been everywhere."""
    quick: list[str] = []
    for path in (ROOT / "tests" / room).glob("test_*.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        marks = [node for node in body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"]
        if not any(map(is_slow, marks)):
            tests = [node for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
            quick += [test.name for test in tests if not any(map(is_slow, test.decorator_list))]
    assert len(quick) >= 5


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_points_to_is_there(page: Path) -> None:
    """Links to files, and files of this project that are named in a line of code."""
    text = page.read_text(encoding="utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    missing = [link for link in links if link and not (page.parent / link).exists()]
    # A changelog and a log tell of what was; a page that teaches names files that a reader is to write.
    if page.name not in ("CHANGELOG.md", "LOG.md"):
        named = re.findall(r"`((?:src|tests|studies|docs)/[\w./-]+\.\w+)`", text)
        missing += [name for name in named if not (ROOT / name).exists() and name not in _TO_BE_WRITTEN]
    assert not missing


_TO_BE_WRITTEN = {
    "src/vslm/measure/feedforward_share.py",
    "src/vslm/models/elements/echo.py",
    "src/vslm/models/parts/loud_root.py",
    "src/vslm/models/parts/normalizers/relu_squared.py",
}
