"""The copy of a study file in a folder of results: run for specs of its own alone, and never by the server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vslm.after.typed_text import TextReader
from vslm.core.errors import ResultError
from vslm.live.app import App
from vslm.measure.residual_norms import ResidualNorms
from vslm.models.parts.norms import RMSNorm
from vslm.results.files import read_json, write_json
from vslm.runs.stored_run import StoredRun
from vslm.study.own_classes import OwnCode
from vslm.study.study_file import study_file_of
from vslm.study.trust import MODULES, UntrustedError, check_trusted, code_of, remember

NORMS = "ResidualNorms(num_evaluations=5, num_tokens=170)"
OWN = """
from dataclasses import dataclass
from pathlib import Path

from vslm.measure.residual_norms import ResidualNorms
from vslm.models.parts.norms import RMSNorm

Path("was-run").touch()


@dataclass(frozen=True, kw_only=True)
class OwnNorm(RMSNorm):
    pass


@dataclass(frozen=True, kw_only=True)
class OwnMeasure(ResidualNorms):
    recorded_as = "own"
"""


@pytest.fixture
def run(place: Path, finished: Callable[..., Path]) -> Path:
    """A run that was really trained; its study's copy leaves a file behind when it is run."""
    finished("--seeds", "1")
    (place / "runs" / "study" / "study.py").write_text(OWN, encoding="utf-8")
    (place / "prompts.txt").write_text("ab\ncd\n", encoding="utf-8")
    return place / "runs" / "study" / "full" / "seed0"


def with_a_spec_of_its_own(run: Path) -> None:
    """As if the study had defined its norm itself."""
    record = run / "experiment.json"
    text = record.read_text(encoding="utf-8")
    assert '"kind": "RMSNorm"' in text
    record.write_text(text.replace('"kind": "RMSNorm"', '"kind": "OwnNorm"'), encoding="utf-8")
    done = read_json(run / "done.json")
    del done["files"], done["digest"]  # as of a vslm that sealed nothing
    write_json(run / "done.json", done)


COMMANDS = {
    "sample": ("sample", "runs/study/full/seed0", "--tokens", "2"),
    "prompts": ("prompts", "runs/study/full/seed0", "--prompts", "prompts.txt", "--json"),
    "measure": ("measure", "runs/study/full/seed0", NORMS),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_the_catalog_can_read_runs_no_code(run: Path, vslm: Callable[..., Any], command: str) -> None:
    """Whatever stands in its copy of the study file."""
    said = vslm(*COMMANDS[command])
    assert said.code == 0, said.err
    assert not Path("was-run").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_specs_of_its_own_are_read_with_the_study_file(run: Path, vslm: Callable[..., Any], command: str) -> None:
    """By the command line, whose help says so."""
    with_a_spec_of_its_own(run)
    said = vslm(*COMMANDS[command], "--trust")
    assert said.code == 0, said.err
    assert Path("was-run").exists()
    assert "runs the study file in its folder" in " ".join(vslm(command, "--help").out.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_code_that_the_user_did_not_run_is_refused(run: Path, vslm: Callable[..., Any], command: str) -> None:
    """The copy was changed behind his back, so it says what to do, and runs nothing."""
    with_a_spec_of_its_own(run)
    said = vslm(*COMMANDS[command])
    assert said.code == 2
    assert "study.py: this study has code of its own, which you did not run on this machine" in said.err
    assert "add --trust" in said.err
    assert not Path("was-run").exists()


def test_code_that_the_user_ran_is_known(run: Path, vslm: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """To this user on this machine: in the folder, moved, joined; not a letter later, and not by a helper module."""
    with_a_spec_of_its_own(run)
    copy = run.parents[1] / "study.py"
    remember(code_of(copy))
    run.parents[1].rename(run.parents[2] / "moved")
    moved = run.parents[2] / "moved"
    command = ("sample", "runs/moved/full/seed0", "--tokens", "3")
    assert vslm(*command).code == 0
    assert Path("was-run").exists()
    helper = moved / MODULES / "inner" / "helper.py"
    helper.parent.mkdir(parents=True)
    helper.write_text("x = 1\n")
    assert "helper.py: this study has code of its own" in vslm(*command).err
    remember([helper])
    assert vslm(*command).code == 0
    (helper.parent / "other.py").symlink_to(helper)
    assert "a link to" in vslm(*command).err
    (helper.parent / "other.py").unlink()
    monkeypatch.setenv("VSLM_HOME", str(moved / "another machine"))
    assert vslm(*command).code == 2


def test_what_lay_in_a_folder_before_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run into somebody else's folder makes its own files known, and none that it found there."""
    monkeypatch.setenv("VSLM_HOME", str(tmp_path / "home"))
    (tmp_path / "shared.py").write_text("x = 1\n")
    copy, theirs = tmp_path / "out" / "study.py", tmp_path / "out" / MODULES / "theirs.py"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("y = 2\n")
    remember(OwnCode(b"import shared\n", None, {"shared": tmp_path / "shared.py"}).write(copy))
    with pytest.raises(UntrustedError, match=r"theirs\.py"):
        check_trusted(copy, trust=False)
    theirs.unlink()
    check_trusted(copy, trust=False)


def test_what_is_run_is_remembered(place: Path, vslm: Callable[..., Any], in_process: list) -> None:
    """The file of a study that was run is known since then; another one is not."""
    assert vslm("run", "study.py", "--seeds", "1").code == 0
    copy = place / "runs" / "study" / "study.py"
    check_trusted(copy, trust=False)
    copy.write_text(copy.read_text() + "\n")
    with pytest.raises(UntrustedError):
        check_trusted(copy, trust=False)
    check_trusted(copy, trust=True)


def test_a_measure_of_the_studys_own_is_found_in_its_file(run: Path, vslm: Callable[..., Any]) -> None:
    """Its name is none of the catalog's, and a class of the catalog that is no measure needs no code to be refused."""
    assert vslm("measure", "runs/study/full", "Softmax").code == 2
    assert not Path("was-run").exists()
    said = vslm("measure", "runs/study/full", "OwnMeasure", "--trust")
    assert said.code == 0, said.err
    assert list(read_json(run / "later.json")["measures"]) == ["own"]


def test_the_server_runs_no_code_and_says_who_can(run: Path) -> None:
    """A text is read by the runs that need none."""
    with_a_spec_of_its_own(run)
    app = App(run.parents[2], TextReader())
    headers = {"Host": "localhost", "Content-Type": "application/json"}
    body = json.dumps({"text": "a b", "runs": ["full/seed0", "short/seed0"]}).encode()
    found = json.loads(app.answer("POST", "/api/tokens/study", headers, body).body)
    assert [one["arm"] for one in found["runs"]] == ["short"]
    assert "specs of its own (OwnNorm)" in found["problems"][0]
    assert "`vslm sample` and `vslm prompts` on the command line" in found["problems"][0]
    assert not Path("was-run").exists()


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *[("sample", "../outside"), ("prompts", "/tmp/outside"), ("measure", "a/../../outside")],
        *[("sample", "..\\outside"), ("measure", "\0")],
    ],
)
def test_a_name_leads_to_no_other_file(run: Path, vslm: Callable[..., Any], command: str, name: str) -> None:
    """The record says which file is the study's; only one that lies beside the record is meant."""
    with_a_spec_of_its_own(run)
    record = run.parents[1] / "study.json"
    write_json(record, {**read_json(record), "name": name})
    (run.parents[2] / "outside.py").write_text(OWN, encoding="utf-8")
    said = vslm(*COMMANDS[command])
    assert said.code in (1, 2), said
    assert "a file beside the record is needed" in said.err
    assert not Path("was-run").exists()
    with pytest.raises(ResultError, match="a file beside the record is needed"):
        study_file_of(run)


def test_a_spec_may_not_be_named_as_one_of_the_catalog(place: Path, vslm: Callable[..., Any]) -> None:
    """It would be read back as the other one, without a word."""
    own = OWN.replace('Path("was-run").touch()', "").replace("RMSNorm", "norms.RMSNorm").replace("OwnNorm", "RMSNorm")
    own = own.replace("from vslm.models.parts.norms import norms.RMSNorm", "from vslm.models.parts import norms")
    study = (place / "study.py").read_text(encoding="utf-8")
    changed = study.replace('"model.blocks.*.attention.window_tokens": 3', '"model.blocks.*.norm": RMSNorm()')
    (place / "study.py").write_text(own + changed, encoding="utf-8")
    said = vslm("plan", "study.py")
    assert said.code == 2, said
    assert "arms.short.model.blocks.0.norm: RMSNorm is also the name of a class of vslm" in said.err


def test_kinds_are_those_of_the_catalog_and_of_the_file(run: Path) -> None:
    """Looked through, they are all there; those of the catalog are found without the file."""
    kinds = StoredRun(run, trust=True).kinds
    assert kinds["RMSNorm"] is RMSNorm
    assert kinds["ResidualNorms"] is ResidualNorms
    assert not Path("was-run").exists()
    assert {"OwnNorm", "OwnMeasure", "RMSNorm"} <= set(kinds)
    assert len(kinds) == len(set(kinds))
    assert "Nothing" not in kinds
