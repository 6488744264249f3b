"""What lies in a study's folder is a file there: no link in it is followed, and no pipe is waited for."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from vslm.core.errors import ResultError, RunError, VslmError
from vslm.results import places
from vslm.results.files import read_arrays, read_json, read_rows, sha256, write_json
from vslm.results.folder import RunFolder

_SECRET = '{"status": "done", "secret": 1}\n'


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study with the folder of one run, and a file of its reader's beside it."""
    (tmp_path / "mine.json").write_text(_SECRET)
    run = tmp_path / "study" / "full" / "seed0"
    run.mkdir(parents=True)
    (tmp_path / "study" / "study.json").write_text("{}")
    (run / "done.json").write_text("{}")
    return tmp_path / "study"


def _link(path: Path) -> None:
    path.symlink_to(path.parents[3] / "mine.json")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))  # an address has few letters


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
@pytest.mark.parametrize(
    ("make", "found"), [(_link, "a link to"), (os.mkfifo, "a pipe"), (_socket, "a socket"), (os.mkdir, "a folder")]
)
@pytest.mark.parametrize("read", [read_json, read_rows, read_arrays, sha256, places.read_bytes, places.read_shown])
def test_only_a_file_is_read(
    study: Path,
    make: Callable[[Path], None],
    found: str,
    read: Callable[[Path], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever reads, says in one message what stands there, and does not wait."""
    monkeypatch.chdir(study)
    path = study / "full" / "seed0" / "odd"
    make(path)
    with pytest.raises(ResultError, match=found):
        read(path)


def test_a_folder_on_the_way_is_no_link_either(study: Path) -> None:
    """An arm that leads out of the study shows nothing of where it leads, and nothing is written there."""
    elsewhere = study.parent / "elsewhere" / "seed0"
    elsewhere.mkdir(parents=True)
    for name in ("done.json", "study.json"):  # a record further in does not make it the study's own place
        (elsewhere / name).write_text(_SECRET)
    (elsewhere.parent / "study.json").write_text("{}")
    (study / "short").symlink_to(elsewhere.parent)
    inside = study / "short" / "seed0"
    before = sorted(elsewhere.rglob("*"))
    assert RunFolder(inside, "short", 0).is_done, "it is looked at, and then refused by name"
    changes: list[Callable[[], object]] = [
        lambda: read_json(inside / "done.json"),
        lambda: write_json(inside / "done.json", {}),
        lambda: places.make_folder(inside / "checkpoints"),
        lambda: places.remove_file(inside / "done.json"),
        lambda: places.remove_folder(inside),
        lambda: places.log_descriptor(inside / "worker.log", anew=True),
        lambda: places.log_descriptor(inside / "done.json", anew=True),
    ]
    for change in changes:
        with pytest.raises((ResultError, RunError), match="links in it are not followed"):
            change()
    assert sorted(elsewhere.rglob("*")) == before
    assert (elsewhere / "done.json").read_text() == _SECRET


def test_a_study_itself_may_lie_behind_links(study: Path) -> None:
    """Where it is kept is its owner's affair: on a larger disk, under a temporary folder that is a link."""
    runs = study.parent / "runs"
    runs.mkdir()
    (runs / "mine").symlink_to(study)
    (study.parent / "home").symlink_to(runs)
    run = study.parent / "home" / "mine" / "full" / "seed0"
    places.make_folder(run / "checkpoints")
    write_json(run / "done.json", {"status": "done"})
    assert read_json(study / "full" / "seed0" / "done.json") == {"status": "done"}


def test_a_log_that_is_a_link_empties_nothing(study: Path) -> None:
    """Nor is anything added to what it leads to; a log that is a file is emptied, or gone on with."""
    log = study / "full" / "seed0" / "worker.log"
    _link(log)
    for anew in (True, False):
        with pytest.raises(RunError, match="a link to"):
            places.log_descriptor(log, anew=anew)
    assert (study.parent / "mine.json").read_text() == _SECRET
    log.unlink()
    for anew, expected in ((True, b"a"), (False, b"aa"), (True, b"a")):
        descriptor = places.log_descriptor(log, anew=anew)
        os.write(descriptor, b"a")
        os.close(descriptor)
        assert log.read_bytes() == expected


def test_what_replaces_a_link_leaves_alone_what_it_led_to(study: Path) -> None:
    """Files are renamed into their place, and of a link the link is removed."""
    for name in ("done.json", "order.json", "checkpoints"):
        path = study / "full" / "seed0" / name
        path.unlink(missing_ok=True)
        _link(path)
    write_json(study / "full" / "seed0" / "done.json", {"status": "new"})
    places.remove_file(study / "full" / "seed0" / "order.json")
    places.remove_folder(study / "full" / "seed0" / "checkpoints")
    assert (study.parent / "mine.json").read_text() == _SECRET
    assert [path.name for path in places.files_below(study)] == ["study.json", "done.json"]


def test_a_text_that_is_shown_has_an_end(study: Path) -> None:
    """Of a long one the beginning or the end is shown, and how much is not."""
    path = study / "full" / "seed0" / "failed.txt"
    with path.open("wb") as file:
        file.write(b"begin")
        file.truncate(7 * 1024**3)  # takes no room on the disk
        file.seek(0, os.SEEK_END)
        file.write(b"end")
    shown = RunFolder(path.parent, "full", 0).failed
    assert shown is not None
    assert shown.startswith("begin")
    assert shown.endswith("are not shown]")
    assert len(shown) < 70_000
    assert places.read_shown(path, end=True).endswith("end")
    with pytest.raises(ResultError, match="7,168 MB; at most 64 MB are read"):
        read_json(path)


def test_errors_have_their_four_parts(study: Path) -> None:
    """Where, what was found, what is allowed, what to do."""
    path = study / "full" / "seed0" / "sample.txt"
    _link(path)
    with pytest.raises(VslmError) as caught:
        places.read_shown(path)
    assert all((caught.value.where, caught.value.found, caught.value.allowed, caught.value.do))
