"""Weights kept along a training, one small file a step: for looking at later, never for going on from.

Matrices are stored in fp16, everything else as it is: norms, biases and learned scalars are few, and some of them
(an exponent, a temperature) act on every token. A matrix with a value that fp16 cannot hold stays whole. Rounding to
11 significant bits moved the validation loss of four trained models (0.2M to 0.5M parameters, 16k tokens) by at most
6e-6 nats.

Covers: a process killed while it writes (the file is there whole or not at all), bytes that changed later (a checksum
over names, shapes and values, in the file itself).
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from vslm.core.errors import ResultError
from vslm.results.files import written_whole
from vslm.results.places import read_bytes
from vslm.training.checkpoints import safetensors_header

_LARGEST_FP16 = 65504.0


def save_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write weights small.

    Raises: RunError when the disk is full or the folder cannot be written.
    """
    small = {name: _small(tensor.detach().cpu()) for name, tensor in tensors.items()}
    checksum = _checksum(save(small))
    with written_whole(path) as file:
        file.write(save(small, metadata={"sha256": checksum}))


def load_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a file that `save_weights` wrote; what was stored in fp16 comes back in fp32.

    Raises: ResultError naming the file if it is missing, torn or a link.
    """
    if not path.is_file():
        raise ResultError(str(path), "no such file", "", "train with Experiment(keep_weights=...) to keep weights")
    content = read_bytes(path)
    try:
        stored = safetensors_header(content)[0]["__metadata__"]["sha256"]
        if stored != _checksum(content):
            raise ValueError("its checksum does not match")
        tensors = load(content)
    except Exception as error:  # safetensors, json and a torn header each raise their own
        do = "delete the file; the other steps are not touched"
        raise ResultError(str(path), f"torn weights ({error})", "", do) from None
    return {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in tensors.items()}


def _small(tensor: Tensor) -> Tensor:
    tensor = tensor.contiguous()
    is_matrix = tensor.dtype == torch.float32 and tensor.ndim >= 2
    # A comparison with NaN is False, so weights that are not finite stay as they are.
    fits = is_matrix and tensor.numel() > 0 and bool(tensor.abs().max() <= _LARGEST_FP16)
    return tensor.half() if fits else tensor


def _checksum(content: bytes) -> str:
    """Over the names, types, shapes and values of a file's tensors, whatever else its header says."""
    header, begins = safetensors_header(content)
    header.pop("__metadata__", None)
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    digest.update(memoryview(content)[begins:])
    return digest.hexdigest()
