"""`vslm prompts`: from files to numbers, a page and words; and what it says of files that cannot be meant."""

import csv
import json
import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from small_study import made_up_text

from vslm import cli
from vslm.after.prompts import effect_of_prompts, read_texts
from vslm.core.errors import DataError, ResultError, SpecError
from vslm.data.preparing import prepare
from vslm.data.sources import Text
from vslm.data.tokenizers import Characters
from vslm.measure.loss_by_position import LossByPosition
from vslm.models.layouts.plain import uniform
from vslm.report.pages import images
from vslm.report.pages.prompts import decay_words, render, sections, terminal_tables
from vslm.runs.run import run_job
from vslm.runs.stored_run import StoredRun
from vslm.study.experiment import Budget, Experiment
from vslm.study.job import Job, Settings

CONTEXT_TOKENS = 23


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run over the characters of a made-up text: one step."""
    place = tmp_path_factory.mktemp("run")
    (place / "corpus.txt").write_text(made_up_text(), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VSLM_HOME", str(place / "home"))
        patched.setattr("vslm.runs.run._SAMPLE_TOKENS", 1)
        source = Text(str(place / "corpus.txt"), tokenizer=Characters())
        experiment = Experiment(
            model=uniform(depth=1, width=8, heads=2, context_tokens=CONTEXT_TOKENS),
            data=source,
            budget=Budget(tokens=CONTEXT_TOKENS),
            batch_tokens=CONTEXT_TOKENS,
            measures=(LossByPosition(num_evaluations=2, num_tokens=1, num_final_tokens=1),),
        )
        job = Job(
            arm="only",
            experiment=experiment,
            stages_tokens=(CONTEXT_TOKENS,),
            init_seed=1,
            data_seed=2,
            settings=Settings(device="cpu", precision="fp32", compiled=False, threads=1),
            corpus=prepare(source).fingerprint,
        )
        run_job(job, place / "only" / "seed0", lambda message: None)
    return place / "only" / "seed0"


def file(path: Path, *texts: str) -> Path:
    """One text a line."""
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def test_texts_of_a_file(tmp_path: Path) -> None:
    """One a line, blank lines left out; with separators a text has several lines. A byte order mark is no text."""
    assert read_texts(file(tmp_path / "a", "one ", "", "  ", " two"), "--prompts", fewest=1) == ["one ", " two"]
    (tmp_path / "b").write_bytes("\ufeffif x:\n    y\n<|endoftext|>\n  z\n\n<|endoftext|>\n".encode())
    assert read_texts(tmp_path / "b", "--prompts", fewest=1) == ["if x:\n    y", "  z\n"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no text in it; 2 to 32 are needed"),
        (b"\n \n\n", "no text in it"),
        (b"only one\n", "a single text; 2 to 32"),
        (b"x\n" * 33, "33 texts; 2 to 32"),
        (b"good\nbad \xff\n", "byte 9: not UTF-8"),
    ],
)
def test_files_that_cannot_be_meant(tmp_path: Path, run: Path, content: bytes, words: str) -> None:
    """Each in words that name the file, before the model is opened."""
    (tmp_path / "p.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"p\.txt") as caught:
        effect_of_prompts(tmp_path / "no run", tmp_path / "p.txt", None, seed=0)
    assert words in str(caught.value)


def test_what_is_not_there_is_said(tmp_path: Path, run: Path) -> None:
    """A file, a folder, a run without weights."""
    with pytest.raises(SpecError, match=r"--prompts: .*gone\.txt: no such file"):
        effect_of_prompts(run, tmp_path / "gone.txt", None, seed=0)
    with pytest.raises(SpecError, match=r"--continuations: .*: a folder"):
        effect_of_prompts(run, file(tmp_path / "p.txt", "ab", "ba"), tmp_path, seed=0)
    with pytest.raises(ResultError, match="finished run"):
        effect_of_prompts(tmp_path, file(tmp_path / "p.txt", "ab", "ba"), None, seed=0)


def test_texts_that_the_run_cannot_take(tmp_path: Path, run: Path) -> None:
    """Characters that the corpus never had; no room in the context. The text is named by its number."""
    with pytest.raises(DataError, match=r"p\.txt, text 2: the character '☃' at 1 does not occur"):
        effect_of_prompts(run, file(tmp_path / "p.txt", "ace", "a☃"), None, seed=0)
    with pytest.raises(DataError, match=r"p\.txt, text 2: 16 tokens; with 8 tokens to follow.* room for 15"):
        effect_of_prompts(run, file(tmp_path / "p.txt", "ace", "a" * 16), None, seed=0)
    long = file(tmp_path / "c.txt", "ace", "a" * 20)
    with pytest.raises(DataError, match=r"p\.txt, text 1: 4 tokens; with 20 tokens to follow.* room for 3"):
        effect_of_prompts(run, file(tmp_path / "p.txt", "aceb", "ace"), long, seed=0)
    with pytest.raises(DataError, match=r"c\.txt, text 1: 129 tokens; at most 128"):
        effect_of_prompts(run, file(tmp_path / "p.txt", "ace", "ace"), file(tmp_path / "c.txt", "a" * 129), seed=0)


PROMPTS = ("ace", "aceb ace", "b", "ace ace a", "eca", "cab", "be")


def test_the_model_writes_what_follows(tmp_path: Path, run: Path) -> None:
    """As much after each as fits after the longest, the same again with the same seed; numbers are JSON."""
    prompts = file(tmp_path / "p.txt", *PROMPTS)
    effect = effect_of_prompts(run, prompts, None, seed=4)
    assert json.dumps(effect, allow_nan=False) == json.dumps(effect_of_prompts(run, prompts, None, seed=4))
    assert effect["continuations"] != effect_of_prompts(run, prompts, None, seed=5)["continuations"]
    assert effect["num_continuation_tokens"] == [CONTEXT_TOKENS - 9] * 7
    assert np.shape(effect["pmi_nats"]) == (7, 7)
    assert effect["own"]["own prompt"]["mean"] == pytest.approx(np.diagonal(effect["pmi_nats"]).mean())
    for kind in effect["js_nats"].values():
        assert len(kind["mean"]) == len(kind["low"]) == CONTEXT_TOKENS - 9
        ends = zip(kind["low"], kind["mean"], kind["high"], strict=True)
        assert all(0 <= low <= mean <= high <= math.log(2) for low, mean, high in ends)
    assert effect["run"].endswith("only/seed0")
    assert not effect["run"].startswith("/")


def test_few_prompts_have_no_intervals(tmp_path: Path, run: Path) -> None:
    """Five are too few for any of them, and it is said; six have all, which are said to be over prompts alone."""
    few = effect_of_prompts(run, file(tmp_path / "p.txt", *PROMPTS[:5]), None, seed=4)
    assert all(kind["low"] is None for kind in few["js_nats"].values())
    assert all(row["low"] is None for row in few["own"].values())
    assert "jackknife" not in render(few)
    enough = effect_of_prompts(run, file(tmp_path / "p.txt", *PROMPTS[:6]), None, seed=4)
    assert all(kind["low"] is not None for kind in enough["js_nats"].values())
    assert all(row["low"] is not None for row in enough["own"].values())
    assert "continuations are held fixed" in render(enough)
    decay = {"tau_tokens": 2.5, "tau_low": None, "tau_high": None, "is_held_by_one_prompt": False}
    few["decay"] = {**decay, "amplitude_nats": 0.2, "floor_nats": 0.0}
    assert "no interval with fewer than 6 prompts" in decay_words(few)
    few["decay"]["is_held_by_one_prompt"] = True
    assert "without one of the prompts no decay is resolved" in decay_words(few)
    few["decay"]["tau_tokens"] = None
    assert "No decay is resolved" in decay_words(few)


def test_bands_are_drawn_between_their_ends(tmp_path: Path, run: Path) -> None:
    """They are not even around the mean, neither in the figure nor in its CSV."""
    effect = effect_of_prompts(run, file(tmp_path / "p.txt", *PROMPTS), None, seed=4)
    effect["js_nats"] = {
        kind: {"mean": [0.2, 0.1], "low": [0.1, 0.05], "high": [0.6, 0.5]} for kind in effect["js_nats"]
    }
    effect["decay"] = None
    drawing = next(section for section in sections(effect) if section.id == "prompt-distance").drawings[0]
    bands = [trace["y"] for trace in drawing.figure["data"] if trace["meta"]["part"] == "band"]
    assert bands == [[0.6, 0.5, 0.05, 0.1]] * 4
    (picture,) = images.of_section(next(one for one in sections(effect) if one.id == "prompt-distance"))
    rows = list(csv.DictReader(images.numbers_as_csv(picture).splitlines()))
    assert [(row["low"], row["high"]) for row in rows[:2]] == [("0.1", "0.6"), ("0.05", "0.5")]


def test_what_the_model_wrote_is_likelier_by_construction(tmp_path: Path, run: Path) -> None:
    """The page says so, and only where it is true."""
    prompts = file(tmp_path / "p.txt", *PROMPTS)
    assert "by construction" in render(effect_of_prompts(run, prompts, None, seed=4))
    assert "by construction" not in render(effect_of_prompts(run, prompts, prompts, seed=4))


def test_given_continuations(tmp_path: Path, run: Path) -> None:
    """Of another number, none belongs to a prompt; as long as the shortest, curves end there; too short has no fit."""
    prompts, continuations = file(tmp_path / "p.txt", "ace", "b"), file(tmp_path / "c.txt", "ace", "b ace", "ceb")
    effect = effect_of_prompts(run, prompts, continuations, seed=0)
    assert np.shape(effect["pmi_nats"]) == (2, 3)
    assert effect["own"] is None
    assert effect["decay"] is None
    assert effect["js_nats"]["prompts"]["low"] is None, "two prompts have no interval"
    assert [len(kind["mean"]) for kind in effect["js_nats"].values()] == [3] * 4
    assert "fewer than 5 tokens" in decay_words(effect)
    assert len(terminal_tables(effect)) == 2
    assert "What each prompt makes likelier" in render(effect)


class _Scripts(HTMLParser):
    """How many scripts a page has, and whether any other element would run something."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts, self.handlers = 0, []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def test_the_page_shows_hostile_text_as_text() -> None:
    """In prompts, continuations and figures; its JSON cannot end the script that it stands in."""
    evil = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'
    js = {"mean": [0.3, 0.2, 0.1, 0.05, 0.0], "low": [0.1] * 5, "high": [0.4] * 5}
    effect = {
        "run": evil,
        "prompts": [evil, "b"],
        "continuations": [evil, "d"],
        "written_by_the_model": False,
        "remarks": [evil],
        "begins_with_separator": True,
        "num_prompt_tokens": [3, 3],
        "num_continuation_tokens": [5, 7],
        "pmi_nats": [[1.0, -2.0], [0.0, 3.0]],
        "log_p_nats": [-3.0, -4.0],
        "own": {"own prompt": {"mean": 2.0, "low": None, "high": None}},
        "js_nats": dict.fromkeys(("prompts", "shuffled", "irrelevant", "empty"), js),
        "fewest_for_interval": 6,
        "decay": {"tau_tokens": 2.5, "tau_low": 1.5, "tau_high": None, "is_held_by_one_prompt": False}
        | {"amplitude_nats": 0.2, "floor_nats": 0.0},
    }
    parser = _Scripts()
    parser.feed(render(effect))
    assert parser.scripts == 4
    assert not parser.handlers
    assert "tau = 2.5 tokens (95 % interval over prompts 1.5 to longer than can be told" in decay_words(effect)
    names = [picture.name for section in sections(effect) for picture in images.of_section(section)]
    assert names == ["pmi", "prompt-distance"]


def test_characters_that_the_corpus_never_had_are_said(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte pairs take any text: what training never showed is counted, on the page and in the terminal. Where the
    corpus is not on this machine, nothing is said.
    """
    counts_V = np.ones(99, dtype=int)
    counts_V[StoredRun(run).tokenizer.encode("c")] = 0
    monkeypatch.setattr("vslm.runs.stored_run.training_counts", lambda corpus: counts_V)
    monkeypatch.setattr("vslm.runs.stored_run.open_corpus", lambda fingerprint: None)
    prompts, page = file(tmp_path / "p.txt", "ace", "aca"), tmp_path / "out.html"
    options = ["--prompts", str(prompts), "--continuations", str(file(tmp_path / "c.txt", "ab", "ba"))]
    cli.app(["prompts", str(run), *options, "--out", str(page)], result_action="return_value")
    words = "of the prompts, 2 tokens never occur in the training text"
    assert words in " ".join(capsys.readouterr().out.split())
    assert words in page.read_text(encoding="utf-8")
    monkeypatch.undo()
    monkeypatch.setenv("VSLM_HOME", str(tmp_path))
    assert effect_of_prompts(run, prompts, None, seed=0)["remarks"] == []


def test_the_command(tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tables, a sentence and a page; with --json the numbers and nothing else."""
    prompts, page = file(tmp_path / "p.txt", *PROMPTS), tmp_path / "out.html"
    cli.app(["prompts", str(run), "--prompts", str(prompts), "--out", str(page)], result_action="return_value")
    said = capsys.readouterr().out
    assert "own prompt, shuffled" in said
    assert f"page  {page}" in said
    assert "<h1>What do these prompts do" in page.read_text(encoding="utf-8")
    page.unlink()
    cli.app(["prompts", str(run), "--prompts", str(prompts), "--json"], result_action="return_value")
    assert json.loads(capsys.readouterr().out)["prompts"] == list(PROMPTS)
    assert not page.exists()


@pytest.mark.slow
def test_figures_are_written_without_a_page(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--json` writes a page only where --out names one; figures have a folder of their own."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    monkeypatch.chdir(tmp_path)
    prompts = file(tmp_path / "p.txt", *PROMPTS)
    asked = ["prompts", str(run), "--prompts", str(prompts), "--json", "--figures", "figs"]
    cli.app(asked, result_action="return_value")
    assert json.loads(capsys.readouterr().out)["prompts"] == list(PROMPTS)
    assert (tmp_path / "figs" / "pmi.csv").is_file()
    assert not list(tmp_path.glob("*.html"))
    cli.app([*asked, "--out", "named.html"], result_action="return_value")
    assert [path.name for path in tmp_path.glob("*.html")] == ["named.html"]
