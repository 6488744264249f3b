"""The page for newcomers, executed."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vslm.data.preparing import prepare
from vslm.data.sources import AssociativeRecall
from vslm.measure.measure import Measure
from vslm.models.initialization import Init
from vslm.models.layouts.plain import uniform

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-measure.md"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measure:
    """The page's example as the file that it tells to write."""
    monkeypatch.setenv("VSLM_HOME", str(tmp_path / "home"))
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    file = tmp_path / "feedforward_share.py"
    file.write_text(code[1], encoding="utf-8")
    module_spec = importlib.util.spec_from_file_location("feedforward_share", file)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    monkeypatch.setitem(sys.modules, "feedforward_share", module)
    module_spec.loader.exec_module(module)
    return module.FeedforwardShare(num_tokens=40)


def test_the_example_is_taken_from_a_model(example: Measure) -> None:
    """One file makes a measure; where attention adds nothing, all of it is the feedforward's."""
    corpus = prepare(AssociativeRecall(num_pairs=3, document_tokens=20, num_letters=5, num_documents=211))
    model = uniform(depth=2, width=12, heads=2, context_tokens=20).build(vocabulary=corpus.vocabulary, init=Init(0))
    take = example.build(model=model, corpus=corpus, context_tokens=20)
    with torch.no_grad():
        model.blocks["1"].attention.output.weight.zero_()  # type: ignore[union-attr]
    share_L = take(model)["share_L"]
    assert share_L.shape == (2,)
    assert 0 < share_L[0] < 1
    np.testing.assert_array_equal(share_L[1], 1.0)
