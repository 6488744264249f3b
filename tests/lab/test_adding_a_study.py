"""The page for newcomers, executed."""

import re
from pathlib import Path
from typing import Any

import pytest

from vslm.lab.matching import TOLERANCE_FRACTION, check_equal, relative_sizes

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-study.md"
VOCABULARY = 512


@pytest.fixture
def page() -> dict[str, Any]:
    """What the page's examples define."""
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), names)
    return names


@pytest.mark.parametrize("name", ["STUDY", "OTHER_MATCHES"])
def test_the_studies_on_the_page_keep_their_promise(page: dict[str, Any], name: str) -> None:
    """Their arms are as equal as they say."""
    study = page[name]
    vocabularies = dict.fromkeys(study.arms, VOCABULARY)
    check_equal(study.arms, study.baseline, by=study.equal, unequal=study.unequal, vocabularies=vocabularies)


def test_the_winner_is_matched_by_each_of_the_other_two(page: dict[str, Any]) -> None:
    """Each arm of the second study is equal by what its name says, and is not by parameters."""
    study = page["OTHER_MATCHES"]
    more = relative_sizes(study.arms, "plain", dict.fromkeys(study.arms, VOCABULARY))
    assert abs(more["deep-non-embedding"]["non_embedding_parameters"]) <= TOLERANCE_FRACTION
    assert abs(more["deep-flops"]["flops"]) <= TOLERANCE_FRACTION
