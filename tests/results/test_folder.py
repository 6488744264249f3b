"""Which runs of a study count, and which seeds pair."""

from pathlib import Path

from vslm.results.files import write_json
from vslm.results.folder import FORMAT, StudyFolder


def _ended(folder: StudyFolder, arm: str, seed: int, *, fingerprint: str, status: str = "done") -> None:
    path = folder.run(arm, seed).path
    path.mkdir(parents=True)
    write_json(path / "done.json", {"status": status, "fingerprint": fingerprint, "val_loss": float(seed)})


def test_only_seeds_that_ended_well_in_every_arm_pair(tmp_path: Path):
    """A run of another record, one that diverged, a torn one and one that is missing leave their seeds out."""
    folder = StudyFolder(tmp_path)
    names = {arm: {str(seed): f"{arm}{seed}" for seed in range(6)} for arm in ("a", "b")}
    write_json(
        tmp_path / "study.json", {"format": FORMAT, "arms": {arm: {"runs": runs} for arm, runs in names.items()}}
    )
    for seed in range(6):
        _ended(folder, "a", seed, fingerprint="a-of-before" if seed == 1 else f"a{seed}")
    for seed in (0, 1, 2, 4, 5):
        _ended(folder, "b", seed, fingerprint=f"b{seed}", status="diverged" if seed == 2 else "done")
    (folder.run("b", 4).path / "done.json").write_text("{", encoding="utf-8")
    paired = folder.paired(["a", "b"])
    assert {arm: list(by_seed) for arm, by_seed in paired.items()} == {"a": [0, 5], "b": [0, 5]}
    assert [done.val_loss for done in paired["b"].values()] == [0.0, 5.0]
    assert folder.ended(folder.run("a", 1)) is None
    assert folder.ended(folder.run("b", 2)) is not None
