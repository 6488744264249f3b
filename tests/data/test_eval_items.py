"""Items of benchmarks by the fields of their lines, and what is said of lines that are none."""

import gzip
import json
from pathlib import Path

import pytest

from vslm.core.errors import DataError
from vslm.data.corpus import home
from vslm.data.eval_items import BENCHMARKS, Items, read_items

PAIR = {"sentence_good": "Ann has left.", "sentence_bad": "Ann have left."}


def written(path: Path, *lines: object) -> str:
    """JSON lines."""
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("line", "form", "context", "choices", "right"),
    [
        (PAIR, "pairs", "", ("Ann has left.", "Ann have left."), 0),
        ({"text": "He came and sat\n down.\n"}, "last word", "He came and sat\n", (" down.",), 0),
        ({"ctx": "He", "endings": ["sat", "ran", "flew"], "label": "2"}, "choices", "He", (" sat", " ran", " flew"), 2),
        ({"goal": "Sit", "sol1": "a", "sol2": "b", "label": 1}, "choices", "Question: Sit\nAnswer:", (" a", " b"), 1),
        ({"query": "Q", "choices": ["x", "y", "z"], "gold": 1}, "choices", "Q", (" x", " y", " z"), 1),
        (
            {"question": "Q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"},
            "choices",
            "Question: Q\nAnswer:",
            (" x", " y"),
            1,
        ),
    ],
)
def test_every_form_is_known_by_its_fields(
    tmp_path: Path, line: dict, form: str, context: str, choices: tuple[str, ...], right: int
) -> None:
    """With what stands before the choices, and a space between."""
    items = read_items(written(tmp_path / "some.test.jsonl", line))
    (item,) = items.items
    assert (items.form, item.context, item.choices, item.right) == (form, context, choices, right)
    assert items.name == "some.test"


def test_what_items_are_about_is_a_field_or_the_file(tmp_path: Path) -> None:
    """UID, another field by its name, or the file where a folder has several."""
    lines = [{**PAIR, "UID": name, "term": "t"} for name in ("agreement", "islands", "agreement")]
    path = written(tmp_path / "one.jsonl", *lines)
    assert read_items(path).groups == ("agreement", "islands")
    assert read_items(path, by="term").groups == ()
    (tmp_path / "several").mkdir()
    for name in ("islands", "agreement"):
        written(tmp_path / "several" / f"{name}.jsonl", PAIR)
    items = read_items(str(tmp_path / "several"))
    assert (items.name, items.groups) == ("several", ("agreement", "islands"))


def test_chance_is_that_of_a_guess(tmp_path: Path) -> None:
    """One over the choices; of last words the share of the commonest."""
    questions = [{"query": "Q", "choices": ["a"] * n, "gold": 0} for n in (2, 4, 4)]
    assert read_items(written(tmp_path / "q.jsonl", *questions)).chance == pytest.approx((1 / 2 + 1 / 4 + 1 / 4) / 3)
    words = [{"text": f"and then {word}"} for word in ("Ann", "Bob", "Ann", "Eve", "Dan")]
    assert read_items(written(tmp_path / "w.jsonl", *words)).chance == pytest.approx(2 / 5)


def test_some_are_spread_over_the_file_and_those_between_are_others(tmp_path: Path) -> None:
    """Of 23 items 7: from the beginning to the end, and none that a run which chooses was asked."""
    lines = [{"sentence_good": f"good {n}", "sentence_bad": f"bad {n}"} for n in range(23)]
    items = read_items(written(tmp_path / "p.jsonl", *lines))

    def numbers(some: Items) -> list[int]:
        return [int(item.choices[0].split()[1]) for item in some.items]

    some, between = numbers(items.some(7)), numbers(items.some(7, between=True))
    assert some == [0, 3, 6, 9, 13, 16, 19]
    assert len(between) == 7
    assert not set(some) & set(between)
    assert numbers(items.some(99)) == list(range(23))


def test_the_digest_names_what_is_asked(tmp_path: Path) -> None:
    """However it is packed and grouped."""
    plain = read_items(written(tmp_path / "p.jsonl", {**PAIR, "UID": "a"}, {**PAIR, "UID": "b"}))
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress((tmp_path / "p.jsonl").read_bytes()))
    packed = read_items(str(tmp_path / "packed.jsonl.gz"))
    assert (packed.name, packed.digest) == ("packed", plain.digest)
    assert read_items(written(tmp_path / "o.jsonl", PAIR, {**PAIR, "sentence_bad": "x"})).digest != plain.digest


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([PAIR, {"sentence_good": "a"}], r"p\.jsonl:2: no field `sentence_bad`; did you mean sentence_good\?"),
        ([PAIR, {"text": "a b"}], r"p\.jsonl:2: no field `sentence_good`"),
        ([{"sentence_god": "a", "sentence_bad": "b"}], r"p\.jsonl:1: no field `sentence_good`; did you mean"),
        ([{"story": "a"}], r"p\.jsonl:1: no item: its fields are story"),
        ([PAIR, {**PAIR, "sentence_bad": " "}], r"p\.jsonl:2: sentence_bad: found ' '; text is needed"),
        ([PAIR, ["a"]], r"p\.jsonl:2: found list"),
        ([{"text": "word"}], r"p\.jsonl:1: text: one word alone"),
        ([{"ctx": "a", "endings": ["b", "c"], "label": ""}], r"p\.jsonl:1: label: found ''.*without labels"),
        ([{"ctx": "a", "endings": ["b", "c"], "label": 2}], r"p\.jsonl:1: label: found 2; a number from 0 to 1"),
        ([{"ctx": "a", "endings": ["b"], "label": 0}], r"p\.jsonl:1: endings: found \['b'\]; a list of two"),
        ([{"query": "a", "choices": ["b", "c"]}], r"p\.jsonl:1: gold: no field `gold`"),
        (
            [{"question": "a", "choices": {"text": ["b", "c"], "label": ["A", "B"]}, "answerKey": "C"}],
            r"p\.jsonl:1: answerKey: found 'C'; one of \['A', 'B'\]",
        ),
    ],
)
def test_a_line_that_is_no_item_is_named(tmp_path: Path, lines: list[object], said: str) -> None:
    """With file, line, what was found and what is needed."""
    with pytest.raises(DataError, match=said):
        read_items(written(tmp_path / "p.jsonl", *lines))


def test_a_field_that_groups_must_be_there(tmp_path: Path) -> None:
    """In every item."""
    with pytest.raises(DataError, match=r"p\.jsonl:2: no field `UIDs`; did you mean UID\?"):
        read_items(written(tmp_path / "p.jsonl", {**PAIR, "UIDs": "a"}, {**PAIR, "UID": "a"}), by="UIDs")


def test_files_that_are_empty_torn_or_no_utf8_are_named(tmp_path: Path) -> None:
    """As are those that are no JSON."""
    (tmp_path / "empty.jsonl").write_text("\n \n")
    with pytest.raises(DataError, match="the file is empty"):
        read_items(str(tmp_path / "empty.jsonl"))
    lines = "".join(json.dumps({**PAIR, "pairID": n}) + "\n" for n in range(997)).encode()
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(lines)[:-97])
    with pytest.raises(DataError, match="cannot be read as gzip"):
        read_items(str(tmp_path / "cut.jsonl.gz"))
    (tmp_path / "bytes.jsonl").write_bytes(lines + b'{"sentence_good": "caf\xe9"}\n')
    with pytest.raises(DataError, match=r"bytes\.jsonl:byte \d+: 0xe9 is not UTF-8"):
        read_items(str(tmp_path / "bytes.jsonl"))
    (tmp_path / "no.jsonl").write_text(f"{json.dumps(PAIR)}\nnot json\n")
    with pytest.raises(DataError, match=r"no\.jsonl:2: not valid JSON"):
        read_items(str(tmp_path / "no.jsonl"))
    with pytest.raises(DataError, match="no such file"):
        read_items(str(tmp_path / "none.jsonl"))


def test_a_benchmark_is_asked_for_by_its_name(tmp_path: Path) -> None:
    """Where its file lies in the home; else the message says where to get it and where to put it."""
    with pytest.raises(DataError, match=r"blimp: 67 paradigms .*; bring it from the hub \(nyu-mll/blimp\)"):
        read_items("blimp")
    (home() / "evals").mkdir(parents=True)
    written(home() / "evals" / "blimp.jsonl", PAIR)
    assert read_items("blimp").name == "blimp"
    assert set(BENCHMARKS) == {"blimp", "lambada", "hellaswag", "arc_easy", "piqa"}
