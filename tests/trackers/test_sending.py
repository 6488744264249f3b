"""Runs sent to stand-ins with the interfaces of wandb, trackio and TensorBoard, and to the packages that are there."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from synthetic_study import write_study

from vslm import cli
from vslm.core.errors import ResultError, SpecError
from vslm.results.files import read_json, read_rows, write_json, write_rows
from vslm.trackers.sending import TRACKERS, send
from vslm.trackers.tensorboard import TensorBoard
from vslm.trackers.wandb_like import WandbLike

ARMS = {"a": (5, 0.3, 101), "b": (7, 0.3, 103)}
STEPS = (0, 1, 2, 3, 5, 8, 13)


class StandIn(ModuleType):
    """A module with `init`, whose runs have `log` and `finish`; everything that it kept of what it was told is there.

    wandb's runs have a `summary`, and drop what is logged at a step that an earlier session has closed.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.inits: list[dict[str, Any]] = []
        self.logged: dict[str, list[tuple[int, dict[str, float]]]] = {}
        self.summaries: dict[str, dict[str, float]] = {}
        self.num_open = 0

    def init(self, **given: Any) -> Any:
        """Open a run."""
        assert self.num_open == 0, "one run is open at a time"
        self.num_open += 1
        self.inits.append(given)
        module, name, is_wandb = self, given["name"], self.__name__ == "wandb"
        closed = module.logged[name][-1][0] if module.logged.get(name) else -1

        class Run:
            def __init__(self) -> None:
                if is_wandb:
                    self.summary = module.summaries.setdefault(name, {})

            def log(self, metrics: dict[str, float], step: int) -> None:
                seen = module.logged.setdefault(name, [])
                assert not seen or step >= seen[-1][0], "steps never fall"
                if not (is_wandb and step <= closed):
                    seen.append((step, metrics))

            def finish(self) -> None:
                module.num_open -= 1

        return Run()

    def final(self, name: str) -> dict[str, float]:
        """What it has of how a run ended, wherever it keeps that."""
        return self.summaries[name] if name in self.summaries else self.logged[name][-1][1]


class Writer:
    """SummaryWriter's interface."""

    made: list["Writer"] = []  # noqa: RUF012 (a list of all is the point)

    def __init__(self, log_dir: str) -> None:
        Path(log_dir).mkdir(parents=True, exist_ok=True)
        self.log_dir, self.scalars, self.texts, self.is_closed = log_dir, [], {}, False
        Writer.made.append(self)

    def add_scalar(self, tag: str, value: float, step: int, *, new_style: bool, double_precision: bool) -> None:
        """Keep it."""
        assert new_style
        assert double_precision
        self.scalars.append((tag, value, step))

    def add_text(self, tag: str, text: str) -> None:
        """Keep it."""
        self.texts[tag] = text

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """No more comes."""
        self.is_closed = True


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two arms, two seeds, with the record that a run has."""
    folder = write_study(tmp_path / "s", ARMS, seeds=(0, 1), num_positions=11, steps=STEPS)
    for run in folder.glob("*/seed*"):
        write_json(run / "experiment.json", {"job": {"experiment": {"model": {"width": 8, "path": ["0", "1"]}}}})
    return folder


def _quietly(text: str) -> None:
    """Who need not be told."""


@pytest.mark.parametrize("package", ["wandb", "trackio"])
def test_every_run_is_sent_with_its_rows_and_its_declaration(study: Path, package: str) -> None:
    """One run after the other, named by study, arm and seed; the final numbers are those of the run, or a last row."""
    module = StandIn(package)
    send(study, WandbLike(module, package, "p"), say=_quietly)
    assert list(module.logged) == ["s/a/seed0", "s/a/seed1", "s/b/seed0", "s/b/seed1"]
    assert module.num_open == 0
    rows = read_rows(study / "b" / "seed1" / "measures.jsonl")
    sent = module.logged["s/b/seed1"]
    assert [step for step, _ in sent] == ([*STEPS] if package == "wandb" else [*STEPS, STEPS[-1]])
    assert sent[3][1]["val_loss"] == rows[3]["val_loss"]
    assert "train_loss" not in sent[0][1], "what is missing stays missing"
    done = read_json(study / "b" / "seed1" / "done.json")
    assert module.final("s/b/seed1")["final.val_loss"] == done["val_loss"]
    config = module.inits[3]["config"]
    assert (config["arm"], config["seed"], config["experiment.model.path.1"]) == ("b", 1, "1")
    assert module.inits[3]["project"] == "p"
    assert ("id" in module.inits[3]) == (package == "wandb")


def test_wandb_stays_offline_until_it_is_told_otherwise(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would ask who one is; its own variables settle that."""
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    module = StandIn("wandb")
    send(study / "a" / "seed0", WandbLike(module, "wandb", "p"), say=_quietly)
    assert module.inits[0]["mode"] == "offline"
    monkeypatch.setenv("WANDB_MODE", "online")
    send(study / "a" / "seed1", WandbLike(module, "wandb", "p"), say=_quietly)
    assert "mode" not in module.inits[1]
    assert module.inits[0]["id"] != module.inits[1]["id"]
    assert module.inits[0]["group"] == "s/a"


def test_nothing_is_sent_twice_to_one_place(study: Path) -> None:
    """Sent again: nothing. Another project: all of it. A run that went on: the rest."""
    run, module = study / "a" / "seed0", StandIn("trackio")
    done = (run / "done.json").read_text()
    rows = read_rows(run / "measures.jsonl")
    (run / "done.json").unlink()
    write_rows(run / "measures.jsonl", rows[:3])
    said: list[str] = []
    tracker = WandbLike(module, "trackio", "p")
    send(run, tracker, say=said.append)
    send(run, tracker, say=said.append)
    assert said == ["s/a/seed0: 3 rows, and it goes on", "s/a/seed0: nothing new, and it goes on"]
    assert len(module.inits) == 1
    write_rows(run / "measures.jsonl", rows)
    (run / "done.json").write_text(done)
    send(run, tracker, say=said.append)
    assert [step for step, _ in module.logged["s/a/seed0"]] == [*STEPS, STEPS[-1]]
    send(run, tracker, say=said.append)
    assert said[-2:] == ["s/a/seed0: 5 rows", "s/a/seed0: nothing new"]
    other = StandIn("trackio")
    send(run, WandbLike(other, "trackio", "q"), say=said.append)
    assert len(other.logged["s/a/seed0"]) == len(STEPS) + 1


@pytest.mark.parametrize("package", ["wandb", "trackio"])
def test_final_numbers_that_come_in_a_later_call_are_kept(study: Path, package: str) -> None:
    """The last row was sent while the run wrote its last files; the tracker has closed that step since."""
    run, module = study / "a" / "seed0", StandIn(package)
    done = (run / "done.json").read_text()
    (run / "done.json").unlink()
    tracker = WandbLike(module, package, "p")
    send(run, tracker, say=_quietly)
    (run / "done.json").write_text(done)
    send(run, tracker, say=_quietly)
    assert module.final("s/a/seed0")["final.val_loss"] == json.loads(done)["val_loss"]


def test_a_growing_run_is_followed_to_its_end(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New rows as they come, in one opened run."""
    run, module = study / "a" / "seed0", StandIn("wandb")
    done = (run / "done.json").read_text()
    rows = read_rows(run / "measures.jsonl")
    (run / "done.json").unlink()
    write_rows(run / "measures.jsonl", rows[:1])
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        write_rows(run / "measures.jsonl", rows[: 1 + 2 * len(waits)])
        if len(waits) == 4:
            (run / "done.json").write_text(done)

    monkeypatch.setattr("vslm.trackers.sending.time.sleep", wait)
    send(run, WandbLike(module, "wandb", "p"), follow=True, say=_quietly, every_seconds=0.25)
    assert waits == [0.25] * 4
    assert [step for step, _ in module.logged["s/a/seed0"]] == [*STEPS]
    assert "final.val_loss" in module.final("s/a/seed0")
    assert len(module.inits) == 1


def test_a_run_that_began_anew_is_passed_over(study: Path) -> None:
    """The tracker has rows that are no longer so; the tracker's run is closed all the same, and the others are sent."""
    run, module, said = study / "a" / "seed0", StandIn("wandb"), []
    send(run, WandbLike(module, "wandb", "p"), say=_quietly)
    write_rows(run / "measures.jsonl", read_rows(run / "measures.jsonl")[:2])
    assert send(study / "a", WandbLike(module, "wandb", "p"), say=said.append) == ["s/a/seed0"]
    assert "delete sent.json" in said[0]
    assert said[1].startswith("s/a/seed1: ")
    assert module.num_open == 0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("measures.jsonl", b'{"step": 1}\n{"st', "measures.jsonl:2: the line is torn"),
        ("measures.jsonl", b"\xff\n", "measures.jsonl: the file is torn"),
        ("done.json", b"{", "done.json: the file is torn"),
        ("done.json", b"[1]", "done.json: not what a run ends with"),
        ("experiment.json", b"{", "experiment.json: the file is torn"),
        ("experiment.json", b"{}", "experiment.json: not the record of a run"),
        ("experiment.json", b"[]", "experiment.json: not the record of a run"),
    ],
)
def test_a_torn_run_is_passed_over_and_the_rest_is_sent(study: Path, name: str, content: bytes, words: str) -> None:
    """It is said, with the line where there is one, and told to who called."""
    (study / "a" / "seed0" / name).write_bytes(content)
    (study / "b" / "seed0" / "sent.json").write_text("{")
    module, said = StandIn("trackio"), []
    assert send(study, WandbLike(module, "trackio", "p"), say=said.append) == ["s/a/seed0"]
    assert list(module.logged) == ["s/a/seed1", "s/b/seed0", "s/b/seed1"]
    assert "passed over" in said[0]
    assert words in said[0]
    assert module.num_open == 0


def test_the_command_ends_with_1_where_a_run_was_passed_over(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script sees it, too."""
    module = StandIn("trackio")
    monkeypatch.setitem(TRACKERS, "trackio", lambda project, out: WandbLike(module, "trackio", project))
    monkeypatch.setattr(sys, "argv", ["vslm", "send", str(study), "--to", "trackio"])
    cli.main()
    (study / "a" / "seed0" / "done.json").write_text("{")
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1


def test_nothing_to_send_is_said(study: Path, tmp_path: Path) -> None:
    """A study that has not begun, and a folder that is none."""
    study.joinpath("a").rename(tmp_path / "gone")
    with pytest.raises(ResultError, match="no run has begun"):
        send(study / "a", WandbLike(StandIn("wandb"), "wandb", "p"), say=_quietly)
    with pytest.raises(ResultError, match="no such folder"):
        send(tmp_path / "nowhere", WandbLike(StandIn("wandb"), "wandb", "p"), say=_quietly)


def test_tensorboard_gets_a_folder_per_run(study: Path, tmp_path: Path) -> None:
    """Scalars in double precision under their names, and the declaration once."""
    Writer.made.clear()
    tracker = TensorBoard("", tmp_path / "tb", Writer)
    send(study / "a", tracker, say=_quietly)
    assert [Path(one.log_dir).relative_to(tmp_path / "tb").as_posix() for one in Writer.made] == [
        "s/a/seed0",
        "s/a/seed1",
    ]
    first = Writer.made[0]
    last = read_rows(study / "a" / "seed0" / "measures.jsonl")[-1]
    assert ("val_loss", last["val_loss"], STEPS[-1]) in first.scalars
    assert "final/val_loss" in {tag for tag, _, _ in first.scalars}
    assert '"arm": "a"' in first.texts["config"]
    assert first.is_closed
    send(study / "a", tracker, say=_quietly)
    assert len(Writer.made) == 2


@pytest.mark.parametrize("package", list(TRACKERS))
def test_a_package_that_is_missing_is_named(package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, package, None)  # what `import` finds where there is none
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard.writer", raising=False)
    with pytest.raises(SpecError, match=rf"pip install 'vslm\[{package}\]'"):
        TRACKERS[package]("p", tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_itself_reads_what_was_written(study: Path, tmp_path: Path) -> None:
    """The event files hold the numbers of the run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    send(study / "a" / "seed0", TRACKERS["tensorboard"]("p", tmp_path / "tb"), say=_quietly)
    events = EventAccumulator(str(tmp_path / "tb" / "s" / "a" / "seed0")).Reload()
    last = read_rows(study / "a" / "seed0" / "measures.jsonl")[-1]
    tensor = events.Tensors("val_loss")[-1]
    assert tensor.step == STEPS[-1]
    assert tensor.tensor_proto.double_val[0] == last["val_loss"]


@pytest.mark.parametrize("package", ["wandb", "trackio"])
def test_the_packages_themselves_take_it_offline(
    package: str, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked, and nothing goes out: a test has no network."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    send(study / "a" / "seed0", TRACKERS[package]("p", tmp_path), say=_quietly)
    assert json.loads((study / "a" / "seed0" / "sent.json").read_text())[f"{package}:p"] == len(STEPS) + 1
