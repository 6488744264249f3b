"""The tool that asks whether tests notice: what it changes, how it names that, and that its reasons are fresh."""

from pathlib import Path

from mutants import mutants_of, sample
from mutate import ROOT, without_effect

SOURCE = '''
"""A text."""
_MOST: int = 3


def told(low: float, high: float, names: list[str]) -> str:
    """Another text."""
    if not names:
        raise ValueError(f"{low} and {high} of {1 + 1}")
    wide = -low <= high and len(names[1:]) * 2.0 < _MOST
    return f"between {low} and {high}" if wide else "-"
'''


def test_every_kind_of_change_is_made_where_it_counts(tmp_path: Path) -> None:
    """Comparisons, signs, factors, ends, numbers and conditions; no text, annotation or message of an error."""
    file = tmp_path / "a.py"
    file.write_text(SOURCE)
    found = {mutant.name for mutant in mutants_of(file)}
    wide = "told: wide = -low <= high and len(names[1:]) * 2.0 < _MOST  ->  wide = "
    assert {
        "module: _MOST: int = 3  ->  _MOST: int = 4",
        "told: if not names:  ->  if names:",
        wide + "-low < high and len(names[1:]) * 2.0 < _MOST",
        wide + "-low > high and len(names[1:]) * 2.0 < _MOST",
        wide + "low <= high and len(names[1:]) * 2.0 < _MOST",
        wide + "-low <= high or len(names[1:]) * 2.0 < _MOST",
        wide + "-low <= high",
        wide + "-low <= high and len(names[1:]) < _MOST",
        wide + "-low <= high and len(names[1:]) * 1.0 < _MOST",
        wide + "-low <= high and len(names[:]) * 2.0 < _MOST",
        wide + "-low <= high and len(names[1:]) / 2.0 < _MOST",
        """told: return f'between {low} and {high}' if wide else '-'  ->  """
        """return f'between {high} and {low}' if wide else '-'""",
        """told: return f'between {low} and {high}' if wide else '-'  ->  """
        """return f'between {low} and {high}' if not wide else '-'""",
    } <= found
    assert not [name for name in found if "raise" in name or "text" in name]


def test_a_mutant_computes_what_it_says_and_leaves_the_next_one_alone(tmp_path: Path) -> None:
    """Each is compiled with its own change and no other."""
    file = tmp_path / "a.py"
    file.write_text("def f(a, b):\n    return a - b\n")
    found = {}
    for mutant in mutants_of(file):
        there: dict = {}
        exec(mutant.compiled(), there)
        found[mutant.name] = there["f"](5, 2)
    assert found == {"f: return a - b  ->  return a + b": 7, "f: return a - b  ->  return a": 5}


def test_a_sample_stays_when_something_else_changes(tmp_path: Path) -> None:
    """So that figures of two days are about the same mutants."""
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text(SOURCE)
    second.write_text("import math\n\n\n" + SOURCE)
    names = [{mutant.name for mutant in sample(mutants_of(file), 5, seed=1)} for file in (first, second)]
    assert names[0] == names[1]
    assert len(names[0]) == 5
    assert names[0] != {mutant.name for mutant in sample(mutants_of(first), 5, seed=2)}


def test_every_reason_has_a_file_and_words() -> None:
    """Whether its line is still there, `make mutate` says: a change of a line shall not fail here."""
    for (file, name), reason in without_effect().items():
        assert (ROOT / file).is_file()
        assert "  ->  " in name
        assert reason
