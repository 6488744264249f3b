"""Kept weights: small where that is harmless, exact where it is not, and never half there."""

from pathlib import Path

import pytest
import torch

from vslm.core.errors import ResultError
from vslm.training.kept_weights import load_weights, save_weights


def tensors() -> dict[str, torch.Tensor]:
    """A matrix, a vector, a matrix with a number too large for fp16, counts, and a scalar."""
    generator = torch.Generator().manual_seed(3)
    large = torch.randn(5, 7, generator=generator)
    large[2, 3] = 70_000.0
    return {
        "matrix": 0.02 * torch.randn(31, 13, generator=generator),
        "vector": torch.randn(11, generator=generator),
        "large": large,
        "counts": torch.arange(6).reshape(2, 3),
        "exponent": torch.tensor(0.7),
    }


def test_matrices_are_rounded_to_eleven_bits_and_all_else_is_exact(tmp_path: Path) -> None:
    """A matrix takes half the space; vectors, scalars, counts and what fp16 cannot hold come back bit for bit."""
    before = tensors()
    save_weights(tmp_path / "weights" / "step1.safetensors", before)
    after = load_weights(tmp_path / "weights" / "step1.safetensors")
    assert after.keys() == before.keys()
    assert {name: tensor.dtype for name, tensor in after.items()} == {name: t.dtype for name, t in before.items()}
    for name in before.keys() - {"matrix"}:
        assert torch.equal(after[name], before[name]), name
    off = ((after["matrix"] - before["matrix"]).abs() / before["matrix"].abs()).max()
    assert 0 < off <= 2**-11
    wide = {"matrix": torch.randn(313, 311)}
    save_weights(tmp_path / "wide.safetensors", wide)
    assert (tmp_path / "wide.safetensors").stat().st_size < 313 * 311 * 2 + 500


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_kept_as_they_are(tmp_path: Path, value: float) -> None:
    """What a diverging run had is what comes back."""
    matrix = torch.ones(3, 5)
    matrix[1, 1] = value
    save_weights(tmp_path / "w.safetensors", {"matrix": matrix})
    assert torch.equal(load_weights(tmp_path / "w.safetensors")["matrix"].nan_to_num(7), matrix.nan_to_num(7))


@pytest.mark.parametrize("place", [3, 40, 200, -1], ids=["length", "header", "metadata", "values"])
def test_a_changed_byte_is_found_wherever_it_is(tmp_path: Path, place: int) -> None:
    """And the file is named."""
    path = tmp_path / "w.safetensors"
    save_weights(path, tensors())
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ResultError, match=r"w\.safetensors: torn weights"):
        load_weights(path)


def test_a_file_that_ends_early_and_one_that_is_not_there_are_named(tmp_path: Path) -> None:
    """Neither is taken for weights."""
    path = tmp_path / "w.safetensors"
    save_weights(path, tensors())
    for size in (path.stat().st_size - 1, 100, 5, 0):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(ResultError, match="torn weights"):
            load_weights(path)
    path.unlink()
    with pytest.raises(ResultError, match="no such file"):
        load_weights(path)
