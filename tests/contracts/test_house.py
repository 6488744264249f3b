"""The house itself: every spec is in the catalog, and quick commands stay quick."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import vslm
from vslm.core.specs import Spec
from vslm.lab.catalog import KINDS


def specs_of_the_package() -> dict[str, type]:
    """Every final spec class that a module of the package defines."""
    found: dict[str, type] = {}
    for module_info in pkgutil.walk_packages(vslm.__path__, "vslm."):
        if module_info.name == "vslm.lab.worker":
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
    code = "import sys, vslm.cli, vslm.report.tables; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
