"""Whole studies in this process: what is kept, what is refused, what goes on, and what happens when a run does not."""

import dataclasses
import errno
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vslm import vary
from vslm.after import sampling
from vslm.lab import runner
from vslm.lab.plan import noise_card_path
from vslm.models.generation import generate
from vslm.report.pages.study import write_report
from vslm.results.files import read_json, write_json
from vslm.results.folder import StudyFolder
from vslm.runs.pool import Order
from vslm.runs.run import run_job
from vslm.study.study_file import load_study

pytestmark = pytest.mark.usefixtures("in_process")


def change(place: Path, old: str, new: str) -> None:
    """Edit the study file."""
    text = (place / "study.py").read_text(encoding="utf-8")
    assert old in text
    (place / "study.py").write_text(text.replace(old, new), encoding="utf-8")


def numbers(folder: Path) -> dict:
    """The verdict without what a clock said."""
    verdict = read_json(folder / "verdict.json")
    for arm in verdict["arms"].values():
        for name in ("seconds", "minutes_to_resolve", "minutes_to_resolve_nine_in_ten", "words"):
            del arm[name]
    return verdict


def test_json_is_all_that_stands_on_standard_output(place: Path, vslm: Callable) -> None:
    """So that another program can read it; and the plan's is JSON, too."""
    assert json.loads(vslm("plan", "study.py", "--json").out)["arms"]["short"]["tokens"] == 17 * 7 * 11
    said = vslm("run", "study.py", "--json", "--workers", "1")
    assert said.code == 0, said.err
    assert json.loads(said.out) == read_json(place / "runs" / "study" / "verdict.json")
    assert vslm("report", "runs/study/full/seed0").code == 0  # a run's folder means its study
    assert vslm("sample", "runs/study", "--tokens", "3").code == 0
    done = place / "runs" / "study" / "full" / "seed0" / "done.json"
    whole = done.read_bytes()
    done.write_bytes(whole[:9])
    assert vslm("sample", "runs/study", "--tokens", "3").code == 0, "another seed of the baseline is whole"
    done.write_bytes(whole)


def test_a_folder_of_another_study_is_refused_and_left_as_it_was(
    place: Path, vslm: Callable, finished: Callable[..., Path]
) -> None:
    """Another arm, baseline, primary number, match or corpus: exit 2, and not a byte changes."""
    folder = finished("--seeds", "1")
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    original = (place / "study.py").read_text(encoding="utf-8")
    for old, new, words in (
        ('window_tokens": 3', 'window_tokens": 5', "model.blocks.0.attention.window_tokens"),
        ('baseline="full"', 'baseline="short"', "baseline"),
        ("smallest_effect=0.01", "smallest_effect=0.02", "primary.smallest_effect"),
        ("seeds=2,", 'seeds=2, match="flops",', "match"),
        ("tokens=17 * 7 * 11", "tokens=17 * 7 * 13", "budget.tokens"),
    ):
        change(place, old, new)
        said = vslm("run", "study.py", "--seeds", "1")
        assert said.code == 2, (old, said)
        assert words in said.err, said.err
        assert "--out" in said.err
        (place / "study.py").write_text(original, encoding="utf-8")
    with (place / "corpus.txt").open("ab") as corpus:
        corpus.write(b"\n<|endoftext|>\nhgfe dcba")
    said = vslm("run", "study.py", "--seeds", "1")
    assert said.code == 2
    assert "the corpus of arm 'full' has changed" in said.err
    assert {path: path.read_bytes() for path in kept} == kept


@pytest.mark.slow
def test_a_corpus_may_move(place: Path, vslm: Callable, in_process: list[Order]) -> None:
    """Its fingerprint is by content: the same text elsewhere is the same study."""
    assert vslm("run", "study.py", "--seeds", "1", "--workers", "1").code == 0
    (place / "elsewhere").mkdir()
    (place / "corpus.txt").rename(place / "elsewhere" / "words.txt")
    before = len(in_process)
    assert vslm("run", "study.py", "--seeds", "1", "--data", "elsewhere/words.txt").code == 0
    assert len(in_process) == before


@pytest.mark.slow
def test_matched_by_time_every_arm_gets_tokens_by_its_speed_and_keeps_them(
    place: Path, vslm: Callable, in_process: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An arm three times as fast gets three times the tokens; what was measured is stored, and not measured again."""
    change(place, "seeds=2,", 'seeds=1, match="time",')
    speeds = {"full": 1000.0, "short": 3000.0, "wide": 500.0}
    monkeypatch.setattr("small_study.time_side_by_side", lambda jobs: [speeds[job.arm] for job in jobs])
    planned = vslm("plan", "study.py")
    assert "a guess that speed goes with FLOPs" in planned.out
    assert vslm("run", "study.py", "--workers", "1").code == 0
    record = read_json(place / "runs" / "study" / "study.json")
    assert record["arms"]["short"]["timed"] == {"tokens_per_second": 3000.0, "baseline_tokens_per_second": 1000.0}
    assert record["arms"]["full"]["timed"] is None
    assert record["arms"]["short"]["stages_tokens"] == [3 * 17 * 7 * 11]
    assert StudyFolder(place / "runs" / "study").run("short", 0).done.tokens == 3 * 17 * 7 * 11
    # An arm that is added is timed beside the baseline; the others keep what they have.
    wide = '"wide": vary(full, {"model.blocks.0.feedforward.hidden": 80})}'
    change(
        place,
        '{"model.blocks.*.attention.window_tokens": 3})}',
        f'{{"model.blocks.*.attention.window_tokens": 3}}), {wide}',
    )
    speeds |= {"full": 2000.0, "short": 77.0}
    in_process.clear()
    assert vslm("run", "study.py").code == 0
    assert [(order.task, order.job.arm, [job.arm for job in order.beside]) for order in in_process] == [
        ("rates", "full", ["wide"]),
        ("train", "wide", []),
    ]
    again = read_json(place / "runs" / "study" / "study.json")
    assert again["arms"]["short"] == record["arms"]["short"]
    assert again["arms"]["wide"]["stages_tokens"] == [17 * 7 * 11 // 4]


def test_a_diverged_seed_leaves_the_arm_unresolved_and_the_study_goes_on(place: Path, vslm: Callable) -> None:
    """Never scored on its survivors."""
    change(place, '"short": vary(full, {', '"short": vary(full, {"optimizer.learning_rate": 1e30, ')
    said = vslm("run", "study.py", "--workers", "1")
    assert said.code == 0, said.err
    verdict = read_json(place / "runs" / "study" / "verdict.json")["arms"]["short"]
    assert verdict["verdict"] == "unresolved"
    assert verdict["words"] == "unresolved (2 of 2 diverged)"
    assert verdict["delta"] is None
    assert "short seed 1: diverged at step" in said.out
    assert all(
        value is not None
        for value in read_json(place / "runs" / "study" / "verdict.json")["baseline_per_seed"].values()
    )


def test_a_run_that_fails_is_named_with_why_and_the_others_are_kept(
    place: Path, vslm: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1 at the end; the next command tries that run alone, and gives the whole verdict."""

    def broken(job, *args, **kwargs):
        if job.arm == "short" and job.data_seed == 0:
            raise MemoryError("no room for 3 numbers")
        return run_job(job, *args, **kwargs)

    monkeypatch.setattr("small_study.run_job", broken)
    said = vslm("run", "study.py", "--workers", "1")
    assert said.code == 1
    assert "missing: short seed 0 failed: no room for 3 numbers" in said.out
    folder = StudyFolder(place / "runs" / "study")
    assert folder.plain_verdict["missing"] == [{"arm": "short", "seed": 0, "why": "no room for 3 numbers"}]
    assert folder.plain_verdict["arms"]["short"]["seeds"] == [1]
    assert "failed.txt" in write_report(folder.path).read_text(encoding="utf-8")
    monkeypatch.setattr("small_study.run_job", run_job)
    stamp = (folder.path / "short" / "seed1" / "done.json").stat().st_mtime_ns
    assert vslm("run", "study.py").code == 0
    folder = StudyFolder(folder.path)
    assert folder.plain_verdict["missing"] == []
    assert folder.run("short", 0).failed is None
    assert (folder.path / "short" / "seed1" / "done.json").stat().st_mtime_ns == stamp


@pytest.mark.slow
def test_a_full_disk_is_one_message_and_nothing_is_lost(
    place: Path, vslm: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whichever write it fills, a checkpoint's among them; with room again the study ends with the same bits."""
    assert vslm("run", "study.py", "--seeds", "1", "--workers", "1", "--out", "whole").code == 0
    (place / "full").mkdir()
    (place / "full" / "study.json").write_bytes((place / "whole" / "study.json").read_bytes())
    monkeypatch.setattr("vslm.runs.run._CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(run_job, "__kwdefaults__", {**run_job.__kwdefaults__, "checkpoint_seconds": 0.0})
    fsync, calls = os.fsync, iter(range(10**6))
    for room_for in (9, 23, 40):
        start = next(calls)

        def full(number: int, last: int = start + room_for) -> None:
            if next(calls) > last:
                raise OSError(errno.ENOSPC, "No space left on device")
            fsync(number)

        monkeypatch.setattr("vslm.results.files.os.fsync", full)
        said = vslm("run", "study.py", "--seeds", "1", "--out", "full")
        monkeypatch.setattr("vslm.results.files.os.fsync", fsync)
        assert said.code == 1, said
        assert said.err.count("the disk is full") == 1, said.err
        assert "Traceback" not in said.err
        assert not list((place / "full").rglob("*.tmp"))
    assert vslm("run", "study.py", "--seeds", "1", "--out", "full").code == 0
    assert numbers(place / "full") == numbers(place / "whole")
    for arm in ("full", "short"):
        names = [place / out / arm / "seed0" / "weights.safetensors" for out in ("full", "whole")]
        assert names[0].read_bytes() == names[1].read_bytes()


@pytest.mark.slow
def test_auto_looks_until_resolved_and_gives_up_by_time(
    place: Path, vslm: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An arm that is its baseline is resolved at the first look; `--seeds auto` means the same; time ends it, too."""
    change(place, 'vary(full, {"model.blocks.*.attention.window_tokens": 3})', "full")
    monkeypatch.setattr("vslm.study.study._AUTO_LOOKS", (3, 4))
    assert vslm("run", "study.py", "--seeds", "auto", "--workers", "1").code == 0
    folder = StudyFolder(place / "runs" / "study")
    assert folder.study.plain()["seeds"] == [0, 1, 2]
    assert [look["seeds"] for look in folder.plain_verdict["arms"]["short"]["looks"]] == [3]
    change(place, '"short": full', '"short": vary(full, {"model.blocks.*.attention.window_tokens": 16})')
    change(place, "seeds=2", "seeds='auto', max_seeds=5, max_minutes=1e-9")
    said = vslm("run", "study.py", "--workers", "1", "--out", "short")
    assert StudyFolder(place / "short").study.plain()["seeds"] == [0, 1, 2]
    assert "max_minutes" in said.out
    change(place, "max_minutes=1e-9", "max_minutes=None")
    assert vslm("run", "study.py", "--out", "short").code == 0
    folder = StudyFolder(place / "short")
    assert folder.study.plain()["seeds"] == [0, 1, 2, 3, 4]
    assert folder.plain_verdict["missing"] == []
    assert [look["seeds"] for look in folder.plain_verdict["arms"]["short"]["looks"]] == [3, 4, 5]


@pytest.mark.slow
def test_a_finished_model_goes_on_and_can_be_where_arms_start(place: Path, vslm: Callable) -> None:
    """`--more-tokens` adds a stage; `start_from` begins with the weights; what does not fit is refused."""
    sizes = ["--depth", "1", "--width", "16", "--heads", "2", "--context-tokens", "17", "--vocabulary", "270"]
    first = vslm("train", "corpus.txt", "--tokens", "2000", *sizes)
    assert first.code == 0, first.err
    run = StudyFolder(place / "runs" / "train-corpus").run("model", 0)
    steps, loss = run.done.step, run.done.val_loss
    # A short command: what is not said stays as it was.
    assert vslm("train", "corpus.txt", "--more-tokens", "3000").code == 0
    run = StudyFolder(place / "runs" / "train-corpus").run("model", 0)
    assert run.done.step > steps
    assert run.arrays["steps_S"][0] == 0
    assert steps in run.arrays["steps_S"]
    assert run.done.val_loss != loss
    assert StudyFolder(place / "runs" / "train-corpus").study.plain()["arms"]["model"]["stages_tokens"] == [2000, 3000]
    refused = vslm("train", "corpus.txt", "--more-tokens", "3000", "--width", "32")
    assert refused.code == 2
    assert "--width: found 32" in refused.err
    start = "runs/train-corpus/model/seed0"
    change(place, "seeds=2", "seeds=1")
    said = vslm("run", "study.py", "--set", f"start_from={start}", "--workers", "1")
    assert said.code == 0, said.err
    begun = StudyFolder(place / "runs" / "study").run("full", 0)
    assert begun.arrays["val_loss_nats_ST"][0].mean() == pytest.approx(run.done.val_loss, abs=0.1)
    for changes, words in (
        (["model.root.width=24", "model.blocks.*.width=24"], "do not fit the model"),
        (["data.tokenizer.vocabulary=280"], "an id must mean the same text"),
    ):
        args = [part for text in (*changes, f"start_from={start}") for part in ("--set", text)]
        said = vslm("plan", "study.py", *args)
        assert said.code == 2
        assert words in said.err
        assert "arms.full.start_from" in said.err
    said = vslm("plan", "study.py", "--set", "start_from=runs/train-corpus")
    assert said.code == 2
    assert "runs/train-corpus/ARM/seed0" in said.err
    # Other weights under the same name are not the same study.
    assert vslm("train", "corpus.txt", "--more-tokens", "500").code == 0
    said = vslm("run", "study.py", "--set", f"start_from={start}")
    assert said.code == 2
    assert "starts from have changed" in said.err


@pytest.mark.slow
def test_a_stage_that_was_stopped_goes_on_by_the_same_command(
    place: Path, vslm: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not added twice; another stage before it is finished is refused."""
    sizes = ["--depth", "1", "--width", "16", "--heads", "2", "--context-tokens", "17", "--vocabulary", "270"]
    assert vslm("train", "corpus.txt", "--tokens", "2000", *sizes).code == 0

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("small_study.run_job", stopped)
    said = vslm("train", "corpus.txt", "--more-tokens", "3000")
    assert said.code == 130
    assert "the same command goes on" in said.err
    monkeypatch.setattr("small_study.run_job", run_job)
    refused = vslm("train", "corpus.txt", "--more-tokens", "500")
    assert refused.code == 2
    assert "not finished" in refused.err
    assert vslm("train", "corpus.txt", "--more-tokens", "3000").code == 0
    assert StudyFolder(place / "runs" / "train-corpus").study.plain()["arms"]["model"]["stages_tokens"] == [2000, 3000]


@pytest.mark.slow
def test_a_conversation_ends_cleanly_and_survives_what_the_tokenizer_does_not_know(
    place: Path, vslm: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-D and Ctrl-C are ends, not errors; an unknown character is one message, and the next prompt is read."""
    args = ["--set", "data.tokenizer=Characters()", "--seeds", "1", "--workers", "1"]
    assert vslm("run", "study.py", *args).code == 0
    for end in (EOFError, KeyboardInterrupt):
        lines = iter(["ab", "é", "ba"])

        def answer(_: str, lines=lines, end=end) -> str:
            try:
                return next(lines)
            except StopIteration:
                raise end from None

        monkeypatch.setattr("builtins.input", answer)
        said = vslm("sample", "runs/study", "--interactive", "--tokens", "3")
        assert said.code == 0
        assert said.err.count("vslm: the prompt") == 1, said.err
        assert "'é'" in said.err
        assert [line[:2] for line in said.out.splitlines()] == ["ab", "ba", ""]
    said = vslm("sample", "runs/study", "--prompt", "é")
    assert said.code == 2
    assert said.out == ""


@pytest.mark.slow
def test_what_streams_is_the_whole_text_and_never_half_a_character(place: Path, vslm: Callable) -> None:
    """The pieces joined are the decoded tokens; each is text by itself."""
    text = " ".join("äöü€😀"[i] * 3 for i in np.random.default_rng(3).integers(0, 5, 4000))
    (place / "corpus.txt").write_bytes(text.encode())
    assert vslm("run", "study.py", "--seeds", "1", "--workers", "1").code == 0
    draws = sampling.Draws(tokens=90, temperature=1.0, top_k=None, seed=3)
    writer = sampling.open_run(place / "runs" / "study", draws)
    pieces = list(writer.stream("ä"))
    assert pieces[0] == "ä"
    assert len(pieces) > 20
    ids = torch.from_numpy(writer.tokenizer.encode("ä"))
    generator = torch.Generator().manual_seed(3)
    made = list(generate(writer.model, ids, num_tokens=90, temperature=1.0, generator=generator))
    assert "".join(pieces[1:]) == writer.tokenizer.decode(made)


@pytest.mark.slow
def test_what_was_chosen_at_first_is_refused_or_said_never_ignored(place: Path, vslm: Callable) -> None:
    """Other tokens or another device than the study began with, and a prediction written after it."""
    change(place, "seeds=2,", 'seeds=1, prediction="worse",')
    assert vslm("run", "study.py", "--workers", "1", "--tokens", "500").code == 0
    assert vslm("run", "study.py", "--tokens", "500").code == 0
    said = vslm("run", "study.py", "--tokens", "900")
    assert (said.code, "--tokens: found 900, and this study began with 500" in said.err) == (2, True), said.err
    said = vslm("run", "study.py", "--minutes", "3")
    assert (said.code, "minutes were turned into 500 tokens" in said.out) == (0, True), said
    assert vslm("run", "study.py", "--device", "cpu").code == 0
    change(place, 'prediction="worse"', 'prediction="better, as I always said"')
    assert "the first one stays" in vslm("run", "study.py").out
    assert StudyFolder(place / "runs" / "study").study.plain()["prediction"] == "worse"


@pytest.mark.slow
def test_torn_records_are_made_anew_from_the_checkpoint(
    place: Path, vslm: Callable, finished: Callable[..., Path]
) -> None:
    """A torn done.json is no end of a run, nor is one whose arrays are torn or gone: the run is made again."""
    finished("--seeds", "1")
    run = place / "runs" / "study" / "short" / "seed0"
    whole = numbers(place / "runs" / "study")
    (run / "done.json").write_text('{"sta', encoding="utf-8")
    assert vslm("run", "study.py", "--seeds", "1").code == 0
    assert numbers(place / "runs" / "study") == whole
    for spoil in (lambda path: path.write_bytes(path.read_bytes()[:-300]), Path.unlink):
        spoil(run / "arrays.npz")
        assert vslm("run", "study.py", "--seeds", "1").code == 0
        assert numbers(place / "runs" / "study") == whole


@pytest.mark.slow
def test_seeds_of_another_machine_are_not_run_again_in_a_merged_folder(
    place: Path, vslm: Callable, in_process: list[Order]
) -> None:
    """Their numbers stay what they are; what would replace or mix them is refused."""
    change(place, "seeds=2,", "seeds=1,")
    for seeds, out in (("0-0", "a"), ("1-1", "b")):
        assert vslm("run", "study.py", "--seeds", seeds, "--workers", "1", "--out", out).code == 0
    record = read_json(place / "b" / "study.json")
    # One more than in `a`: each folder timed for itself, and may have chosen another number.
    first = read_json(place / "a" / "study.json")["settings"]
    other = {**first, "threads": first["threads"] + 1}
    shutil.rmtree(place / "b")
    (place / "b").mkdir()
    for arm in record["arms"].values():
        arm["runs"] = {}
    write_json(place / "b" / "study.json", {**record, "settings": other})
    assert vslm("run", "study.py", "--seeds", "1-1", "--out", "b").code == 0
    assert vslm("merge", "a", "b", "--out", "c").code == 0
    in_process.clear()
    kept = numbers(place / "c")
    said = vslm("run", "study.py", "--seeds", "2", "--out", "c")
    assert said.code == 2, said.out
    assert "seed 1 of arm 'full' was run in other settings" in said.err
    assert not in_process
    assert numbers(place / "c") == kept


@pytest.mark.slow
def test_merged_halves_give_the_verdict_of_the_whole(place: Path, vslm: Callable) -> None:
    """Seed 0 here, seed 1 there; a packed half is small; what differs is refused."""
    for seeds, out in (("0-1", "whole"), ("0-0", "a"), ("1-1", "b")):
        said = vslm("run", "study.py", "--seeds", seeds, "--out", out, "--workers", "1", "--precision", "fp32")
        assert said.code == 0, said.err
    assert vslm("merge", "a", "b", "--out", "c").code == 0
    whole, joined = (read_json(place / name / "verdict.json")["arms"]["short"] for name in ("whole", "c"))
    for key in ("verdict", "delta", "interval", "seeds", "per_seed"):
        assert whole[key] == joined[key], key
    assert vslm("pack", "c").code == 0
    assert (place / "c.zip").stat().st_size < 3e6
    change(place, 'window_tokens": 3', 'window_tokens": 5')
    refused = vslm("run", "study.py", "--out", "a")
    assert (refused.code, "model.blocks.0.attention.window_tokens" in refused.err) == (2, True)
    assert vslm("run", "study.py", "--seeds", "1-1", "--out", "d", "--precision", "fp32").code == 0
    differing = vslm("merge", "a", "d", "--out", "e")
    assert (differing.code, "arm 'short'" in differing.err) == (2, True)


@pytest.mark.slow
def test_a_pack_is_one_file_and_merge_says_to_unpack_it(
    place: Path, vslm: Callable, finished: Callable[..., Path]
) -> None:
    """Into a folder that is made, without itself, under the study's name."""
    finished("--seeds", "1")
    for _ in range(2):
        assert vslm("pack", "runs/study", "--out", "runs/study/sent/x.zip").code == 0
    with zipfile.ZipFile(place / "runs" / "study" / "sent" / "x.zip") as archive:
        names = archive.namelist()
    assert "study/full/seed0/done.json" in names
    assert not any(name.endswith((".zip", "weights.safetensors")) for name in names)
    said = vslm("merge", "runs/study", "runs/study/sent/x.zip", "--out", "c")
    assert (said.code, "unpack" in said.err, "Traceback" in said.err) == (2, True, False)
    said = vslm("pack", "runs/study", "--out", "runs")
    assert (said.code, "a folder" in said.err) == (2, True)


@pytest.mark.slow
def test_a_run_of_another_budget_can_write_and_a_diverged_one_says_so(place: Path, vslm: Callable) -> None:
    """With specs of the study's own, wherever in the study it lies."""
    change(
        place,
        "full = Experiment(",
        """from dataclasses import dataclass
from vslm.optim.schedules import WarmupCosine


@dataclass(frozen=True, kw_only=True)
class Mine(WarmupCosine):
    pass


full = Experiment(
    schedule=Mine(),""",
    )
    change(place, "seeds=2,", "seeds=1, budgets=(0.5, 1.0),")
    change(place, '"short": vary(full, {', '"short": vary(full, {"optimizer.learning_rate": 1e30, ')
    assert vslm("run", "study.py", "--workers", "1").code == 0
    said = vslm("sample", "runs/study/budgets/x0.5/full/seed0", "--tokens", "3")
    assert said.code == 0, said.err
    said = vslm("sample", "runs/study/short/seed0", "--tokens", "3")
    assert (said.code, "diverged at step" in said.err) == (2, True), said


@pytest.mark.slow
def test_the_noise_card_pairs_by_seed_and_needs_a_spread(
    place: Path, vslm: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A seed that failed in one arm is in no pair; one pair is refused before any compute."""
    said = vslm("noise", "--seeds", "1")
    assert (said.code, "--seeds: found 1" in said.err) == (2, True), said
    study = load_study(place / "study.py")
    arms = dict.fromkeys(("plain", "last-bit", "other-init"), study.arms["full"])
    arms["other-init"] = vary(arms["plain"], {"start_from.init_offset": 5000})
    study = dataclasses.replace(study, baseline="plain", arms=arms, seeds=3)
    monkeypatch.setattr("vslm.lab.noise.noise_study", lambda *_: study)

    def broken(job, *args, **kwargs):
        if job.arm == "plain" and job.data_seed == 0:
            raise MemoryError("no room")
        return run_job(job, *args, **kwargs)

    monkeypatch.setattr("small_study.run_job", broken)
    assert vslm("noise").code == 0
    card = json.loads(noise_card_path().read_text(encoding="utf-8"))
    assert card["seeds"] == 2
    assert card["last_bit_sd"] == 0.0  # one and the same spec, so only another seed could differ


def test_a_second_runner_is_told_who_holds_the_folder(place: Path, vslm: Callable) -> None:
    """Exit 1 at once, the process and since when; the folder is as it was."""
    with runner.held(place / "runs" / "study"):
        said = vslm("run", "study.py")
        assert said.code == 1
        assert f"held by process {os.getpid()}" in said.err
        assert "--out" in said.err
        assert not (place / "runs" / "study" / "study.json").exists()
    assert not (place / "runs" / "study" / ".holder.json").exists()
