"""Bad input gets one message: exit code 2, where, what was found, what to do, before any compute."""

from collections.abc import Callable
from pathlib import Path

import pytest
from small_study import made_up_text

from vslm.lab import budgets, runner
from vslm.results.files import write_json


@pytest.fixture(autouse=True)
def _no_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be timed or trained."""
    for room in (budgets, runner):
        monkeypatch.setattr(room, "run_orders", lambda *_, **__: pytest.fail("it was about to compute"))


def refused(said, *words: str) -> None:
    """One message of one line on standard error, nothing else, and the words in it."""
    assert said.code == 2, said
    assert said.err.startswith("vslm: "), said.err
    assert said.err.count("\n") == 1, said.err
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.err, (word, said.err)


CHANGED = {
    "unknown field": (["--set", "model.blocks.*.attention.hedas=3"], ["--set", "hedas", "did you mean heads?"]),
    "unknown arm": (["--set", "arms.ful.budget.tokens=3"], ["'ful'", "did you mean full?"]),
    "one arm's unknown field": (["--set", "arms.full.model.root.widht=3"], ["arms.full.model.root.widht", "width"]),
    "no equals sign": (["--set", "model"], ["PATH=VALUE"]),
    "wrong type": (["--set", "budget.tokens=many"], ["budget.tokens", "'many'", "int or None"]),
    "unknown class": (["--set", "schedule=Cosine()"], ["schedule", "Cosine"]),
    "width and heads": (["--set", "model.blocks.*.attention.heads=5"], ["arms.full.model.blocks.0", "4 or 8 would"]),
    "a width of its own": (
        ["--set", "arms.short.model.blocks.0.width=24"],
        ["arms.short.model.blocks.0: after root, width 24 follows width 16", "put a Resize between them"],
    ),
    "a block that is not there": (["--set", 'model.path=("0", "1")'], ["arms.full.model.path.1", "'1'", "known: 0"]),
    "a window of nothing": (
        ["--set", "model.blocks.*.attention.window_tokens=0"],
        ["model.blocks.0.attention.window_tokens: found 0", "1 or more"],
    ),
    "a power out of its range": (
        ["--set", "model.blocks.0.attention.normalizer=Power(exponent=3)"],
        ["model.blocks.0.attention.normalizer.exponent: found 3", "[0, 2]"],
    ),
    "no loops": (
        ["--set", 'model.path=(Repeat(body=("0",), times=0),)'],
        ["model.path.times: found 0", "leave the part out for none"],
    ),
    "a task further back than windows": (
        ["--set", "data=AssociativeRecall(num_pairs=3, document_tokens=34)", "--set", "model.context_tokens=34"],
        ["arms.short.model: sees 3 tokens; 31 are needed", "associative recall of 3 pairs", "widen a window"],
    ),
    "a target that new weights have reached": (
        ["--set", "optimizer=Tangent(learning_rate=0.1, target=KnownTarget(nats=9.0))"],
        ["arms.full.optimizer.target.nats: a target of 9 nats", "equally likely", "no step is taken"],
    ),
    "an optimizer that is not there": (
        ["--set", 'optimizer=OptimizerOf(path="torch.optim.RAdan", learning_rate=0.1)'],
        ["arms.full.optimizer.path: torch.optim has no optimizer 'RAdan'", "RAdam"],
    ),
    "a window too long": (
        ["--set", "batch_tokens=40000", "--set", "model.context_tokens=30000"],
        ["arms.full.model.context_tokens", "30,000", "at most", "smaller context_tokens"],
    ),
    "a measure's window too long": (
        ["--set", "measures=(LossByPosition(), BeyondContext(times=1000))"],
        ["arms.full.measures.1", "17,000 tokens for BeyondContext", "at most", "leave it out"],
    ),
    "too many ids": (["--set", "data.tokenizer.vocabulary=60000"], ["data.tokenizer.vocabulary", "60,000", "at most"]),
    "no such corpus": (["--data", "corpsu.txt"], ["corpsu.txt", "did you mean corpus.txt?"]),
    "a glob for nothing": (["--data", "*.tex"], ["*.tex", "no file matches"]),
    "an empty corpus": (["--data", "empty.txt"], ["empty.txt", "no text in it"]),
    "not UTF-8": (["--data", "latin.txt"], ["latin.txt:byte 3", "0xe9", "convert"]),
    "too small for splits": (["--data", "tiny.txt"], ["tiny.txt", "leave nothing for", "give more text"]),
    "a name too long": (["--data", "x" * 5000], ["cannot be looked up"]),
    "no seeds": (["--seeds", "0"], ["seeds", "3-5"]),
    "seeds in words": (["--seeds", "three"], ["seeds", "'three'"]),
    "seeds backwards": (["--seeds", "5-3"], ["seeds", "'5-3'"]),
    "a raised digit": (["--seeds", "²"], ["seeds"]),
    "seeds without end": (["--seeds", "99999999999999999999"], ["seeds"]),
    "no tokens": (["--tokens", "0"], ["--tokens", "found 0"]),
    "minutes that are no number": (["--minutes", "nan"], ["--minutes", "found 'nan'"]),
    "both": (["--tokens", "5", "--minutes", "5"], ["--tokens", "--minutes"]),
    "no workers": (["--workers", "0"], ["--workers", "found 0"]),
}


@pytest.mark.parametrize("verb", ["plan", "run"])
@pytest.mark.parametrize("case", CHANGED)
def test_a_wrong_option_is_refused_in_words(place: Path, vslm: Callable, case: str, verb: str) -> None:
    """By `plan` and by `run` alike."""
    (place / "empty.txt").write_bytes(b" \n")
    (place / "latin.txt").write_bytes(b"caf\xe9")
    (place / "tiny.txt").write_bytes(b"Once.")
    args, words = CHANGED[case]
    said = vslm(verb, "study.py", *args)
    lines = said.err.splitlines()
    said.err = lines[-1] + "\n"
    refused(said, *words)
    assert not (place / "runs" / "study" / "study.json").exists()


FILES = {
    "a syntax error": ("STUDY = Study(\n", ["study.py:1", "not valid Python"]),
    "no STUDY": ("study = 1\n", ["study.py", "no STUDY"]),
    "an exception": ("\n\nSTUDY = 1 / 0\n", ["study.py:3", "ZeroDivisionError"]),
    "no such name": ("from vslm import Modle\n", ["study.py:1", "Modle"]),
    "not UTF-8": ("name = 'caf\udce9'\n", ["study.py", "not valid Python"]),
}


@pytest.mark.parametrize("case", FILES)
def test_a_wrong_study_file_is_named_with_its_line(place: Path, vslm: Callable, case: str) -> None:
    """File and line, and what stands there."""
    text, words = FILES[case]
    (place / "study.py").write_bytes(text.encode("utf-8", errors="surrogateescape"))
    refused(vslm("run", "study.py"), *words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('baseline="full"', 'baseline="ful"', ["study.py:12", "baseline", "did you mean full?"]),
        ('"short": vary', '"Full": vary', ["study.py:12", "arms", "capitals"]),
        ('"short": vary', '"study.json": vary', ["study.py:12", "arms", "cannot name a folder"]),
        ("budget=Budget(tokens=17 * 7 * 11)", "budget=Budget()", ["study.py:7", "0 of tokens, minutes and flops"]),
        ("window_tokens", "window_tokns", ["study.py:15", "window_tokns", "did you mean window_tokens?"]),
        ("seeds=2", "seeds=(1, 1)", ["study.py:12", "seeds", "twice"]),
        (
            "seeds=2",
            'seeds=2, equal="flops"',
            ["arms.short", "FLOPs", "equal='flops' allows 0.5%", "matched(", "list it in unequal"],
        ),
        ("width=16, heads=2", "width=16, heads=3", ["study.py:5", "heads", "2 or 4 would"]),
        ("seeds=2", "seeds=2, budgets=(1.0, 0.3333333, 0.33333331)", ["study.py:12", "budgets", "different numbers"]),
        (
            '"val_loss", smallest',
            '"loss", smallest',
            ["study.py:17", "measure", "found 'loss' and no number", "did you mean val_loss?"],
        ),
    ],
)
def test_a_wrong_study_is_named_with_its_line(
    place: Path, vslm: Callable, old: str, new: str, words: list[str]
) -> None:
    """Where in the file, which part, what is allowed."""
    text = (place / "study.py").read_text(encoding="utf-8")
    assert old in text
    (place / "study.py").write_text(text.replace(old, new), encoding="utf-8")
    refused(vslm("plan", "study.py"), *words)


def test_a_wrong_place_is_refused_in_words(place: Path, vslm: Callable) -> None:
    """No study there, no run there, something else there."""
    (place / "other").mkdir()
    (place / "other" / "mine.txt").write_text("keep me", encoding="utf-8")
    refused(vslm("run", "nowhere.py"), "nowhere.py", "no such file")
    refused(vslm("run", "other"), "other", "a folder")
    refused(vslm("run", "study.py", "--out", "other"), "other", "other files", "--out")
    refused(vslm("run", "study.py", "--out", "corpus.txt"), "corpus.txt", "a file, not a folder", "--out")
    refused(vslm("report", "nowhere"), "nowhere", "no such folder")
    refused(vslm("report", "other"), "other", "no study.json", "runs/NAME")
    refused(vslm("report", "corpus.txt"), "corpus.txt", "a file")
    refused(vslm("ls", "nowhere"), "nowhere", "no such folder")
    refused(vslm("ls", "corpus.txt"), "corpus.txt", "a file")
    refused(vslm("sample", "nowhere"), "nowhere", "no such folder", "runs/NAME/ARM/seed0")
    refused(vslm("sample", "other"), "other", "no finished run")
    refused(vslm("sample", "other", "--temperature", "nan"), "--temperature")
    refused(vslm("sample", "other", "--top-k", "0"), "--top-k")
    refused(vslm("merge", "other", "--out", "x"), "two or more")
    refused(vslm("merge", "other", "nowhere", "--out", "x"), "other", "study.json")
    refused(vslm("pack", "other"), "other")
    refused(
        vslm("train", "corpus.txt", "--vocabulary", "270", "--more-tokens", "5"), "train-corpus", "no run to go on with"
    )
    refused(vslm("train", "corpus.txt", "--depth", "0"), "depth", "found 0")
    assert (place / "other" / "mine.txt").read_text(encoding="utf-8") == "keep me"
    nothing = vslm("ls")
    assert (nothing.code, nothing.out.count("\n")) == (0, 1)


def test_weights_to_start_from_are_checked_before_any_compute(place: Path, vslm: Callable) -> None:
    """A folder that is none, or holds no finished run."""
    for folder in ("nowhere", "runs"):
        (place / "runs").mkdir(exist_ok=True)
        said = vslm("plan", "study.py", "--set", f"start_from={folder}")
        refused(said, "arms.full.start_from", folder, "the folder of a finished run")


def test_two_tokenizers_are_compared_in_bits_per_byte_or_not_at_all(place: Path, vslm: Callable) -> None:
    """Nats per token are those of one tokenizer."""
    said = vslm("plan", "study.py", "--set", "arms.short.data.tokenizer.vocabulary=280")
    refused(said, "primary.measure", "val_bpb")


def test_arms_are_judged_on_one_text(place: Path, vslm: Callable) -> None:
    """Other validation text in one arm, by corpus or by its tokenizer's idea of enough, would pass for an effect."""
    study = (place / "study.py").read_text(encoding="utf-8").replace('"val_loss", ', '"val_bpb", ')
    (place / "study.py").write_text(study, encoding="utf-8")
    (place / "other.txt").write_bytes(made_up_text(170).encode())
    said = vslm("plan", "study.py", "--set", "arms.short.data.path=other.txt")
    refused(said, "arms.short.data", "its validation text is not that of 'full'")
    characters = ("--set", "arms.short.data.tokenizer=Characters()")
    # Enough by a guess of 1 byte a token, too much to ask for at 4.25.
    grown = ("--set", "data.splits.min_val_tokens=5500")
    refused(vslm("plan", "study.py", *characters, *grown), "arms.short.data", "min_val_tokens=0")
    said = vslm("plan", "study.py", *characters)
    assert said.code == 0
    assert "note: arm 'full' is judged on 340 of" in said.out


def test_a_window_that_does_not_fit_into_the_text_for_choices_is_refused(place: Path, vslm: Callable) -> None:
    """`select` is read by a screening and by a tuning alone."""
    study = (place / "study.py").read_text(encoding="utf-8").replace("17", "400")
    (place / "study.py").write_text(study, encoding="utf-8")
    small = ("--set", "data.splits.select_fraction=0.01")
    assert vslm("plan", "study.py", *small).code == 0
    tuned = study.replace("seeds=2,", "seeds=2, tune=LearningRates(),").replace(
        "import AdamW", "import LearningRates, AdamW"
    )
    (place / "study.py").write_text(tuned, encoding="utf-8")
    refused(vslm("plan", "study.py", *small), "arms.full.model.context_tokens", "tokens of select")


def test_a_device_that_is_not_there_is_refused(place: Path, vslm: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what could be used."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    said = vslm("run", "study.py", "--device", "cuda")
    said.err = said.err.splitlines()[-1] + "\n"
    refused(said, "--device", "cuda", "cpu")


@pytest.mark.parametrize("args", [["frob"], ["run"], ["run", "study.py", "--nope"], ["plan", "study.py", "--seeds"]])
def test_a_command_that_cannot_be_read_ends_with_2(place: Path, vslm: Callable, args: list[str]) -> None:
    """As every other wrong input."""
    assert vslm(*args).code == 2


RECORDS = {  # study.json as no study writes it
    "torn": ('{"arms": ', ["the file is torn"]),
    "list": ("[1]", ["a list", "a JSON object"]),
    "empty": ("[]", ["a list", "a JSON object"]),
    "odd": ('{"format": 1, "arms": 3}', ["arms is a number", "an object is needed"]),
    "no arms": ('{"format": 1}', ["names no arms"]),
    "newer": ('{"format": 9}', ["format 9", "1 is readable"]),
    "odd seeds": ('{"format": 1, "arms": {"a": {}}, "seeds": 3}', ["seeds is a number", "a list is needed"]),
    "odd seed": ('{"format": 1, "arms": {"a": {}}, "seeds": [[]]}', ["seeds holds a list", "numbers are needed"]),
    "odd budget": ('{"format": 1, "arms": {"a": {}}, "budgets": ["x"]}', ["budgets holds a text"]),
    "odd baseline": ('{"format": 1, "arms": {"a": {}}, "baseline": []}', ["baseline is a list", "a text is needed"]),
    "odd number": ('{"format": 1, "arms": {"a": {}}, "primary": 3}', ["primary is a number"]),
    "an arm elsewhere": ('{"format": 1, "arms": {"../good/a": {}}}', ["'../good/a'", "one part of a path"]),
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_record_that_no_study_writes_is_named_and_hides_no_other(place: Path, vslm: Callable, case: str) -> None:
    """`report` and `compare` refuse it in one message; `ls` says which it is and lists the others."""
    text, words = RECORDS[case]
    (place / "runs" / "broken").mkdir(parents=True)
    (place / "runs" / "broken" / "study.json").write_text(text, encoding="utf-8")
    (place / "runs" / "good" / "a" / "seed0").mkdir(parents=True)
    write_json(place / "runs" / "good" / "study.json", {"format": 1, "arms": {"a": {}}, "seeds": [0]})
    refused(vslm("report", "runs/broken"), "study.json", *words)
    refused(vslm("compare", "runs/good", "runs/broken"), "study.json", *words)
    said = vslm("ls", "runs")
    assert said.code == 0, said
    assert "good" in said.out
    assert "runs/broken/study.json: " in said.out
    for word in words:
        assert word in said.out
