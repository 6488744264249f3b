"""The house itself: every spec is in the catalog, and quick commands stay quick."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vslm
from vslm.core.specs import Spec
from vslm.study.catalog import KINDS


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


ROOT = Path(__file__).parents[2]
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
