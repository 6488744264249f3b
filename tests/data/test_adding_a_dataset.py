import json
import re
import sys
import types
from pathlib import Path

import pytest
from synthetic_text import story

_PAGE = Path(__file__).parents[2] / "docs" / "adding-a-dataset.md"


def test_the_example_on_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is written, in a folder with the file that it names."""
    monkeypatch.chdir(tmp_path)
    records = [{"question": f"Who is {number}?", "answer": story(number, 31)} for number in range(101)]
    (tmp_path / "questions.json").write_text(json.dumps(records), encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    page = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", page)  # dataclasses look their module up
    exec(compile(code, str(_PAGE), "exec"), page.__dict__)
    assert page.corpus.meta["num_documents"] == 101
