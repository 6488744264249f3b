"""Typed text read with stored weights: the numbers of the model, in words where there are none."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vslm.core.errors import DataError, ResultError
from vslm.lab.sampling import Draws, open_run
from vslm.lab.typed_text import TextReader, token_text
from vslm.live.app import App
from vslm.measure.token_table import token_table


@pytest.fixture
def run(place: Path, vslm: Callable[..., Any], in_process: Any) -> Path:
    """A run that was really trained, for a second."""
    assert vslm("run", "study.py", "--seeds", "1", "--out", "runs/s").code == 0
    return place / "runs" / "s" / "full" / "seed0"


def test_a_text_has_the_numbers_of_the_finished_model(run: Path) -> None:
    """Loss, probability, rank, the five likeliest, and where each token lies; through the server it is the same."""
    text = "abcd efgh <|endoftext|> é"
    read = TextReader()(run, text)
    writer = open_run(run, Draws(tokens=1, temperature=0.0, top_k=None, seed=0))
    table = token_table(writer.model, writer.tokenizer, text)
    assert [row["loss_nats"] for row in read["tokens"]] == pytest.approx(table.loss_nats_N.tolist())
    assert [row["rank"] for row in read["tokens"]] == table.rank_N.tolist()
    assert read["tokens"][-1]["to"] == len(text.encode())
    for row in read["tokens"]:
        assert row["p"] == pytest.approx(math.exp(-row["loss_nats"]), rel=1e-5)
        assert [one["p"] for one in row["top"]] == sorted((one["p"] for one in row["top"]), reverse=True)
        assert len(row["top"]) == 5
    assert read["step"] == json.loads((run / "done.json").read_text())["step"]

    app = App(run.parents[2], TextReader())
    body = json.dumps({"text": text, "runs": ["full/seed0", "short/seed0"]}).encode()
    headers = {"Host": "localhost", "Content-Type": "application/json"}
    answer = json.loads(app.answer("POST", "/api/tokens/s", headers, body).body)
    assert answer["runs"][0]["tokens"] == read["tokens"]
    assert answer["runs"][1]["tokens"] != read["tokens"]

    long = TextReader()(run, "abcd " * 40)
    assert "more than the context of 17" in long["remark"]

    # What cannot be read is said.
    with pytest.raises(DataError, match="empty"):
        TextReader()(run, "")
    reader = TextReader()
    reader(run, "a")
    (run / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(ResultError, match="torn"):
        reader(run, "a")
    (run / "weights.safetensors").unlink()
    with pytest.raises(ResultError, match="full/seed0: its weights are not stored"):
        reader(run, "a")
    shutil.copy(run.parents[1] / "short" / "seed0" / "weights.safetensors", run / "weights.safetensors")
    assert reader(run, "a")["tokens"][0]["text"] == "a", "what is there now counts"


def test_bytes_of_a_character_and_the_separator_have_words(run: Path) -> None:
    """No token is shown as nothing or as a question mark."""
    tokenizer = open_run(run, Draws(tokens=1, temperature=0.0, top_k=None, seed=0)).tokenizer
    parts = [token_text(tokenizer, int(token)) for token in tokenizer.encode("é")]
    assert parts in (["⟨c3⟩", "⟨a9⟩"], ["é"])
    assert tokenizer.end_of_text is not None
    assert token_text(tokenizer, tokenizer.end_of_text) == "⟨end of text⟩"
