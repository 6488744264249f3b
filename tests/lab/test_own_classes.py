"""Classes of the user's own: found wherever they stand, by other processes, and part of what names a run."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vslm.core.errors import SpecError
from vslm.core.specs import from_plain, to_plain
from vslm.lab.plan import plan_study
from vslm.results.files import read_json, write_json
from vslm.study.own_classes import changed_parts, own_code
from vslm.study.study_file import kinds_of, kinds_with, load_study
from vslm.study.study_module import study_module, study_path

HELPER = "from torch import nn\n\n\ndef activation():\n    return nn.Tanh()\n"
CLASS = """
from dataclasses import dataclass

from torch import nn

from shared import activation
from vslm import Feedforward


@dataclass(frozen=True, kw_only=True)
class Mine(Feedforward):
    def hidden_at(self, width):
        return 4 * width

    def num_parameters(self, width):
        return 8 * width * width + 5 * width

    def build(self, *, width, scale, output_factor, init):
        return nn.Sequential(nn.Linear(width, 4 * width), activation(), nn.Linear(4 * width, width))
"""
USE = ('"model.blocks.*.attention.window_tokens": 3', '"model.blocks.*.feedforward": Mine()')


@pytest.fixture
def own(place: Path) -> Path:
    """The small study with a feedforward of its own, and a helper beside it."""
    study = (place / "study.py").read_text(encoding="utf-8")
    assert USE[0] in study
    (place / "study.py").write_text(CLASS + study.replace(*USE), encoding="utf-8")
    (place / "shared.py").write_text(HELPER, encoding="utf-8")
    return place


def edit(path: Path, old: str, new: str) -> None:
    """Change a file."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_helper_beside_the_study_is_found_from_anywhere(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the working directory, and again after a change, although the study file is as it was."""
    monkeypatch.chdir("/")
    kind = type(load_study(own / "study.py").arms["short"].model.blocks["0"].feedforward)
    assert kind.__name__ == "Mine"
    assert study_path(kind.__module__) == own / "study.py"
    edit(own / "shared.py", "Tanh", "ReLU")
    module = study_module(own / "study.py")
    assert type(module.activation()).__name__ == "ReLU"
    assert "shared" not in sys.modules


def test_helpers_of_one_name_do_not_mix(tmp_path: Path) -> None:
    """Two studies in one process, each with a `shared.py` and a package, imported in every way there is."""
    lines = (
        "import shared",
        "import shared as also",
        "from shared import NUMBER",
        "import pack.inner",
        "import pack.inner as inner",
        "from pack import inner as again",
        "def later():\n    import shared\n    from pack.inner import NUMBER\n    return shared.NUMBER, NUMBER",
        "SEEN = (shared.NUMBER, also.NUMBER, NUMBER, pack.inner.NUMBER, inner.NUMBER, again.NUMBER)",
    )
    modules = []
    for number in (3, 5):
        place = tmp_path / str(number)
        (place / "pack").mkdir(parents=True)
        (place / "shared.py").write_text(f"NUMBER = {number}\n", encoding="utf-8")
        (place / "pack" / "__init__.py").write_text("", encoding="utf-8")
        (place / "pack" / "inner.py").write_text("from shared import NUMBER\n", encoding="utf-8")
        (place / "study.py").write_text("\n".join(lines), encoding="utf-8")
        modules.append(study_module(place / "study.py"))
    assert [module.SEEN for module in modules] == [(3,) * 6, (5,) * 6]
    assert [module.later() for module in modules] == [(3, 3), (5, 5)]
    assert not (tmp_path / "3" / "__pycache__").exists()


def test_what_is_wrong_in_a_helper_is_named_there(own: Path, vslm: Callable[..., Any]) -> None:
    """File and line of the helper; a helper that is not there is told as such."""
    (own / "shared.py").write_text("\nactivation = 1 / 0\n", encoding="utf-8")
    assert f"{own / 'shared.py'}:2: ZeroDivisionError" in vslm("plan", "study.py").err
    (own / "shared.py").unlink()
    said = vslm("plan", "study.py")
    assert "study.py:6: there is no module 'shared'" in said.err
    assert "put shared.py beside it, or install it" in said.err


@pytest.mark.slow
def test_edited_code_is_refused_with_what_changed(own: Path, vslm: Callable[..., Any], in_process: list) -> None:
    """The class, or a helper beside it; the folder keeps the code that was run, and what is not code may change."""
    assert vslm("run", "study.py", "--seeds", "1").code == 0
    folder, text = own / "runs" / "study", (own / "study.py").read_text(encoding="utf-8")
    assert read_json(folder / "study.json")["arms"]["short"]["own_code"].keys() == {
        "class Mine",
        "import Feedforward",
        "import dataclass",
        "import nn",
        "shared.py: function activation",
        "shared.py: import nn",
    }
    assert "own_code" not in read_json(folder / "study.json")["arms"]["full"]
    edit(own / "study.py", "Does a short window cost anything?", "Does it?  # a comment")
    assert vslm("run", "study.py", "--seeds", "1").code == 0
    for file, old, new, named in (
        ("study.py", "return 4 * width", "return 4 * width + 0", "class Mine"),
        ("shared.py", "Tanh", "Identity", "shared.py: function activation"),
    ):
        before = (own / file).read_text(encoding="utf-8")
        edit(own / file, old, new)
        for seeds in ("1", "2"):
            said = vslm("run", "study.py", "--seeds", seeds)
            assert said.code == 2
            assert f"the code of arm 'short' has changed since it was run: {named};" in said.err
            assert "choose another place with --out" in said.err
        assert (folder / "_modules" / "shared.py").read_text(encoding="utf-8") == HELPER
        (own / file).write_text(before, encoding="utf-8")
    assert len(in_process) == 3  # a timing and two runs
    assert "Does it?" not in text


def test_a_folder_with_own_code_is_read_without_its_origin(
    own: Path, vslm: Callable[..., Any], in_process: list
) -> None:
    """The copies that lie in it are enough to sample, to measure, and for a rematch."""
    assert vslm("run", "study.py", "--seeds", "1").code == 0
    for name in ("study.py", "shared.py"):
        (own / name).unlink()
    run = own / "runs" / "study" / "short" / "seed0"
    assert kinds_of(run)["Mine"].__name__ == "Mine"
    assert vslm("sample", str(run), "--tokens", "2").code == 0
    assert vslm("measure", str(run), "ResidualNorms(num_evaluations=1, num_tokens=170)").code == 0


@pytest.mark.slow
def test_a_folder_from_before_code_was_recorded_goes_on(own: Path, vslm: Callable[..., Any], in_process: list) -> None:
    """Its runs keep their names, and the copy of the study file says what was run."""
    assert vslm("run", "study.py", "--seeds", "1").code == 0
    folder = own / "runs" / "study"
    record = read_json(folder / "study.json")
    parts = record["arms"]["short"].pop("own_code")
    write_json(folder / "study.json", record)
    # As it was: a job whose name knows no code.
    experiment = read_json(folder / "short" / "seed0" / "experiment.json")
    job = from_plain({**experiment["job"], "own_code": None}, kinds_of(folder))
    record["arms"]["short"]["runs"]["0"] = job.fingerprint
    write_json(folder / "study.json", record)
    done = read_json(folder / "short" / "seed0" / "done.json")
    del done["digest"], done["files"]
    write_json(folder / "short" / "seed0" / "done.json", {**done, "fingerprint": job.fingerprint})
    num_orders = len(in_process)
    assert vslm("run", "study.py", "--seeds", "1").code == 0
    assert len(in_process) == num_orders
    edit(own / "study.py", "return 4 * width", "return 4 * width + 0")
    said = vslm("run", "study.py", "--seeds", "1")
    assert "the code of arm 'short' has changed since it was run: class Mine;" in said.err
    assert changed_parts(parts, {**parts, "class Mine": "x", "y": "z"}) == ["class Mine", "y (new)"]


def as_main(monkeypatch: pytest.MonkeyPatch, path: Path, text: str | None = None) -> ModuleType:
    """A script that was run as `__main__`, up to what it does with its study."""
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    if text is None:
        main.__file__ = str(path)
        text = path.read_text(encoding="utf-8")
    monkeypatch.syspath_prepend(str(path.parent))
    exec(compile(text, str(path), "exec"), vars(main))
    return main


@pytest.mark.slow
def test_a_class_in_a_script_is_found_by_workers(own: Path, monkeypatch: pytest.MonkeyPatch, in_process: list) -> None:
    """Without a guard: the folder holds what the class reaches, and nothing that starts a study."""
    import vslm

    edit(own / "study.py", "STUDY = ", "QUIET = 3\nSTUDY = ")
    script = own / "study.py"
    script.write_text(script.read_text(encoding="utf-8") + "\nimport vslm\nvslm.run(STUDY, out='ran', seeds=1)\n")
    monkeypatch.setattr(vslm, "run", lambda *_, **__: None, raising=False)
    study = as_main(monkeypatch, script).STUDY
    monkeypatch.delattr(vslm, "run")
    monkeypatch.delitem(sys.modules, "shared")
    plan_study(study)
    vslm.run(study, out="ran", seeds=1)
    trained = [order for order in in_process if order.task == "train"]
    assert [order.study_file for order in trained] == [Path("ran/ran.py")] * 2
    made = Path("ran/ran.py").read_text(encoding="utf-8")
    assert "class Mine" in made
    assert "vslm.run" not in made
    assert "QUIET" not in made
    for order in trained:
        job = from_plain(to_plain(order.job), kinds_with(order.study_file))
        assert job == order.job or job.arm == "short"
        assert job.fingerprint == order.job.fingerprint
    assert kinds_of(Path("ran/short/seed0"))["Mine"].__name__ == "Mine"
    edit(script, "return 4 * width", "return 4 * width + 0")
    with pytest.raises(SpecError, match="the code of arm 'short' has changed since it was run: class Mine"):
        vslm.run(study, out="ran", seeds=1)


@pytest.mark.slow
def test_reading_a_script_ends_where_it_runs_a_study(own: Path, vslm: Callable[..., Any], in_process: list) -> None:
    """`vslm plan` of a file that calls `vslm.run` trains nothing, and `vslm run` of it trains once."""
    path = own / "study.py"
    path.write_text(path.read_text(encoding="utf-8") + "\nimport vslm\nvslm.run(STUDY, out='other')\n1 / 0\n")
    assert vslm("plan", "study.py").code == 0
    assert not in_process
    assert vslm("run", "study.py", "--seeds", "1").code == 0
    assert not Path("other").exists()
    path.write_text("import vslm\nvslm.run(vslm.Study)\n", encoding="utf-8")
    said = vslm("plan", "study.py")
    assert said.code == 2
    assert "no STUDY" in said.err


def test_cells_of_a_notebook_are_found(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which they ran; a class that was made anew since is told from the one in the study."""

    class History:
        input_hist_parsed = ("", "get_ipython().run_line_magic('matplotlib', 'inline')\n", "1 +\n")

    class Shell:
        history_manager = History()

    text = (own / "study.py").read_text(encoding="utf-8")
    fake = ModuleType("IPython")
    fake.get_ipython = Shell
    monkeypatch.setitem(sys.modules, "IPython", fake)
    History.input_hist_parsed += (text, text)
    main = as_main(monkeypatch, own / "notebook", text)
    code = own_code(main.STUDY)
    assert code.text is not None
    assert code.text.decode().count("class Mine") == 1
    assert set(code.modules) == {"shared"}
    exec(CLASS, vars(main))
    with pytest.raises(SpecError, match=r"arms.short.model.blocks.0.feedforward: Mine was defined again"):
        plan_study(main.STUDY)


def test_what_cannot_be_found_again_is_refused_before_any_compute(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed into an interpreter, or made in a function: by `plan` as by `run`."""
    text = (own / "study.py").read_text(encoding="utf-8")
    main = as_main(monkeypatch, Path("<string>"), text)
    where = r"^arms.short.model.blocks.0.feedforward: "
    with pytest.raises(SpecError, match=where + r"Mine \(.*its source cannot be had; .*; write it into a file"):
        plan_study(main.STUDY)
    inside = "def made():\n" + "\n".join(f"    {line}" for line in CLASS.splitlines()) + "\n    return Mine()\n"
    (own / "study.py").write_text(inside + text.replace(CLASS, "").replace("Mine()", "made()"), encoding="utf-8")
    with pytest.raises(SpecError, match=where + r"made.<locals>.Mine .*study.py:\d+\).* inside a function"):
        plan_study(load_study(own / "study.py"))


def test_two_classes_of_one_name_are_refused(own: Path) -> None:
    """A record could not tell them apart."""
    (own / "other.py").write_text(CLASS, encoding="utf-8")
    edit(own / "study.py", "seeds=2", "seeds=1")
    text = (own / "study.py").read_text(encoding="utf-8").replace('arms={"full": full', 'arms={"full": other')
    (own / "study.py").write_text(
        text.replace(
            "STUDY = ", 'import other as o\nother = vary(full, {"model.blocks.*.feedforward": o.Mine()})\nSTUDY = '
        ),
        encoding="utf-8",
    )
    with pytest.raises(SpecError, match=r"a second class Mine .* beside that of arms.full.model"):
        plan_study(load_study(own / "study.py"))
