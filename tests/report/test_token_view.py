"""What the page embeds for the token view: the runs' own numbers, whole words, and what is missing, in words."""

import json
from pathlib import Path

import numpy as np
import pytest
from token_study import HOSTILE, STEPS_S, TEXTS, TOP, token_arrays, tokenizer, write_token_study

from vslm.report.numbers import token_view as module
from vslm.report.numbers.runs import read_runs
from vslm.report.numbers.token_view import token_view, words
from vslm.report.pages.study import render
from vslm.results.files import read_arrays, write_arrays
from vslm.results.folder import StudyFolder


def view_of(path: Path) -> dict:
    """As the page has it; as JSON, so nothing else is in it."""
    folder = StudyFolder(path)
    return json.loads(json.dumps(token_view(folder, read_runs(folder)), allow_nan=False))


def text_of(view: dict, piece: int) -> bytes:
    """The bytes of a piece, joined from its words."""
    text = view["texts"][0]
    parts = [text["words"][str(token)] for token in text["pieces"][piece]["ids"]]
    return b"".join(bytes(part) if isinstance(part, list) else part.encode() for part in parts)


def test_the_words_are_the_text_and_the_numbers_those_of_the_runs(tmp_path: Path) -> None:
    """One text for all runs; losses to four decimals; a token that is a part of a character is its bytes."""
    view = view_of(write_token_study(tmp_path / "s"))
    assert [(run["arm"], run["seed"]) for run in view["runs"]] == [
        ("all-visible", 0),
        ("all-visible", 1),
        ("window-4", 0),
        ("window-4", 1),
    ]
    assert len(view["texts"]) == 1
    assert [text_of(view, piece).decode() for piece in range(2)] == list(TEXTS)
    assert [0xF0] in view["texts"][0]["words"].values()
    assert view["texts"][0]["pieces"][1]["note"] == "Validation text from token 1,234 on"
    run, arrays = view["runs"][3], token_arrays(4, 1)
    assert run["steps"] == STEPS_S.tolist()
    loss_SN = np.concatenate([np.array(piece["loss"]) for piece in run["pieces"]], axis=1)
    np.testing.assert_allclose(loss_SN, arrays["token_view.loss_nats_SN"], atol=5.1e-5)
    p_SNK = np.concatenate([np.array(piece["p"]) for piece in run["pieces"]], axis=1)
    np.testing.assert_allclose(p_SNK, arrays["token_view.top_p_SNK"], rtol=5.1e-3)
    assert np.array(run["pieces"][0]["top"]).shape[2] == TOP


def test_what_nothing_stands_before_is_null(tmp_path: Path) -> None:
    """Not a number in the arrays, and none on the page."""
    folder = write_token_study(tmp_path / "s", seeds=(0,))
    for arm in ("all-visible", "window-4"):
        file = folder / arm / "seed0" / "arrays.npz"
        arrays = read_arrays(file)
        arrays["token_view.loss_nats_SN"][:, 0] = np.nan
        arrays["token_view.top_ids_SNK"][:, 0] = -1
        write_arrays(file, arrays)
    run = view_of(folder)["runs"][0]
    assert [row[0] for row in run["pieces"][0]["loss"]] == [None] * 3
    assert "-1" not in view_of(folder)["texts"][0]["words"]


def test_a_separator_is_no_word() -> None:
    """It stands for no text."""
    fitted = tokenizer()
    assert fitted.end_of_text is not None
    assert words(fitted, [fitted.end_of_text]) == {str(fitted.end_of_text): None}


def test_no_tag_of_the_text_stands_in_the_page(tmp_path: Path) -> None:
    """The hostile text is there, and only inside JSON, without a bracket."""
    page = render(StudyFolder(write_token_study(tmp_path / "s", seeds=(0,))))
    assert '<section id="tokens">' in page
    assert 'href="#tokens"' in page
    assert not any(text in page for text in HOSTILE[:3])


def test_a_study_without_it_has_no_section(study_dir: Path) -> None:
    """No script of it either."""
    page = render(StudyFolder(study_dir))
    assert 'id="tokens"' not in page
    assert "window.vslmTokenView = " not in page


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("token_view.ids_SN", np.zeros((3, 0), dtype=int)),
        ("token_view.ids_SN", np.full((3, 5), 10_000)),
        ("token_view.loss_nats_SN", np.zeros((3, 7))),
        ("token_view.rank_SN", np.zeros(3)),
        ("token_view.top_p_SNK", np.zeros((3, 5, 1))),
        ("token_view.steps_S", np.arange(2)),
        ("token_view.from_token_SP", np.zeros(())),
        ("token_view.top_ids_SNK", np.zeros((3, 5, 2))),
    ],
)
def test_arrays_of_another_form_spoil_nothing(tmp_path: Path, name: str, array: np.ndarray) -> None:
    """The other runs are shown; where the tokens are not those of the tokenizer, it is said."""
    folder = write_token_study(tmp_path / "s", seeds=(0,))
    file = folder / "window-4" / "seed0" / "arrays.npz"
    write_arrays(file, {**read_arrays(file), name: array})
    view = view_of(folder)
    assert view["runs"][0]["arm"] == "all-visible"
    assert len(view["runs"]) == (2 if "from_token" in name else 1)
    assert "<h1>" in render(StudyFolder(folder))


def test_a_torn_tokenizer_is_said(tmp_path: Path) -> None:
    """By the run that it belongs to."""
    folder = write_token_study(tmp_path / "s", seeds=(0,))
    (folder / "window-4" / "seed0" / "tokenizer.json").write_text("{")
    view = view_of(folder)
    assert len(view["runs"]) == 1
    assert "window-4/seed0" in view["remark"]


def test_what_would_make_the_page_large_is_left_out_by_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All arms of the first seed before any of the second; and what is left out is said."""
    folder = write_token_study(tmp_path / "s")
    monkeypatch.setattr(module, "_MOST_NUMBERS", 2 * sum(array.size for array in token_arrays(4, 0).values()))
    view = view_of(folder)
    assert [(run["arm"], run["seed"]) for run in view["runs"]] == [("all-visible", 0), ("window-4", 0)]
    assert "all-visible seed 1 and window-4 seed 1" in view["remark"]


@pytest.mark.parametrize(
    ("stored", "first_note"),
    [
        (np.ones((3, 1), dtype=np.int8), "Validation text from token 0 on"),
        (
            np.arange(len(token_arrays(4, 0)["token_view.ids_SN"][0])) == np.full((3, 1), 2, dtype=np.int8),
            "Validation text from token 0 on; 1 token never occurs in the training text, so what is said of it is "
            "little more than the initial weights",
        ),
    ],
    ids=["another form", "the third"],
)
def test_tokens_that_training_never_showed_are_said_beside_their_piece(
    tmp_path: Path, stored: np.ndarray, first_note: str
) -> None:
    """Where the runs know; an array of another form says nothing."""
    folder = write_token_study(tmp_path / "s")
    for file in folder.glob("*/seed*/arrays.npz"):
        write_arrays(file, {**read_arrays(file), "token_view.is_never_SN": stored.astype(np.int8)})
    notes = [piece["note"] for piece in view_of(folder)["texts"][0]["pieces"]]
    assert notes == [first_note, "Validation text from token 1,234 on"]
