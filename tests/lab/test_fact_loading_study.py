"""A study with an arm that learns to load facts: its files name its runs, and its states find."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from small_study import STUDY


def test_an_arm_that_loads_facts(place: Path, vslm: Callable[..., Any], in_process: Any) -> None:
    """It trains, its run finds by its states, and other questions are another objective, which is said."""
    facts = [("abcd", "likes", "efgh"), ("efab", "likes", "gh"), ("hh", "likes", "ab"), ("ga", "likes", "dd")]
    rows = [{"question": f"{s} {r}", "facts": [[s, r, v]], "gold": [0], "hops": 1} for s, r, v in facts]
    names = ("subject", "relation", "value")
    for path, some in (("facts.jsonl", [dict(zip(names, fact, strict=True)) for fact in facts]), ("q.jsonl", rows)):
        Path(path).write_text("\n".join(map(json.dumps, some)), encoding="utf-8")
    assert vslm("store", "build", "facts.jsonl", "facts").code == 0
    study = STUDY.replace("from vslm import AdamW", "from vslm import FactLoading, AdamW").replace(
        'vary(full, {"model.blocks.*.attention.window_tokens": 3})',
        'vary(full, {"objective": FactLoading(store="facts", questions="q.jsonl", pairs=3)})',
    )
    Path("study.py").write_text(study, encoding="utf-8")
    said = vslm("run", "study.py", "--seeds", "1", "--out", "runs/s")
    assert said.code == 0, said.err
    found = vslm("store", "recall", "facts", "q.jsonl", "--by", "states", "--run", "runs/s/short/seed0", "--json")
    assert found.code == 0, found.err
    assert json.loads(found.out)["hops"]["1"]["questions"] == 4
    Path("q.jsonl").write_text("\n".join(map(json.dumps, rows[:3])), encoding="utf-8")
    again = vslm("run", "study.py", "--seeds", "2", "--out", "runs/s")
    assert again.code != 0
    assert "short" in again.err
    Path("q.jsonl").unlink()
    gone = vslm("plan", "study.py")
    assert gone.code == 2
    assert "arms.short.objective: q.jsonl: no such file" in gone.err
