"""Steps that are timed in turns: how they are asked for and shown. The ways themselves are made once, eager."""

from collections.abc import Callable
from pathlib import Path

import pytest
from small_study import Said

from vslm.core.errors import SpecError
from vslm.runs import bench as benches
from vslm.runs.bench import Shape, bench

SMALL = "1x8x2x5x257x3"
NANOGPT = """
import dataclasses
import torch

@dataclasses.dataclass
class GPTConfig:
    block_size: int
    vocab_size: int
    n_layer: int
    n_head: int
    n_embd: int
    dropout: float
    bias: bool

class GPT(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        print("number of parameters: many")
        self.table = torch.nn.Embedding(config.vocab_size, config.n_embd)

    def configure_optimizers(self, weight_decay, learning_rate, betas, device_type):
        return torch.optim.AdamW(self.parameters(), lr=learning_rate, betas=betas, weight_decay=weight_decay)

    def forward(self, tokens, targets):
        logits = self.table(tokens) @ self.table.weight.T
        return logits, torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
"""


@pytest.mark.parametrize("text", ["4x64", "4x64x4x256x1024x0", "4x64x4x256x1024x-1", "ax1x1x1x1x1", "1x1x1x1x1x1x1"])
def test_a_shape_has_six_numbers(text: str) -> None:
    """One message says which."""
    with pytest.raises(SpecError, match=r"--shapes: found .*DEPTHxWIDTHxHEADSxCONTEXTxVOCABULARYxWINDOWS is needed"):
        Shape.of(text)


def test_every_way_is_timed_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ratio of two is that of their turns, and threads are as they were."""
    monkeypatch.setattr(benches, "_SECONDS_PER_TURN", 0.0)
    monkeypatch.setattr(benches, "has_compiler", lambda: False)
    monkeypatch.setattr(benches, "may_gain_from_bf16", lambda device: False)
    (tmp_path / "model.py").write_text(NANOGPT, encoding="utf-8")
    said: list[str] = []
    rows = bench(Shape.of(SMALL), threads=1, turns=3, nanogpt=tmp_path, say=said.append)
    assert [row.name for row in rows] == [
        "nanoGPT as shipped (fp32, eager)",
        "vslm, fp32, eager",
        "vslm, fp32, fused attention, eager",
    ]
    assert [row.ratios[row.name] for row in rows] == [1.0] * 3
    first, second, _ = rows
    assert first.ratios[second.name] == pytest.approx(1 / second.ratios[first.name])
    assert all(row.tokens_per_second > 0 for row in rows)
    assert said[-1] == "turn 3 of 3"


def test_the_table_says_what_each_is_over(vslm: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers by hand, a row for each way."""
    names = ("nanoGPT as shipped (fp32, eager)", "vslm, fp32, eager")
    rates = dict(zip(names, (2000.0, 3000.0), strict=True))

    def timed(shape: Shape, **_: object) -> list[benches.Timed]:
        assert shape == Shape.of(SMALL)
        return [
            benches.Timed(name, rate, {other: rate / rates[other] for other in names}, 0.25)
            for name, rate in rates.items()
        ]

    monkeypatch.setattr(benches, "bench", timed)
    said = vslm("bench", "--shapes", SMALL)
    rows = [line.replace("|", " ").split() for line in said.out.splitlines()]
    assert ["vslm,", "fp32,", "eager", "3,000", "0.2", "s", "1.50"] in rows
    assert '"tokens_per_second": 3000.0' in vslm("bench", "--shapes", SMALL, "--json").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--against", "karpathy"), "--against: found 'karpathy'; nanogpt=FOLDER is needed, a copy of nanoGPT"),
        (("--against", "nanogpt=nowhere", "--shapes", SMALL), "--against: no nowhere/model.py"),
        (("--turns", "2", "--shapes", SMALL), "--turns: found 2; 3 or more have a median"),
        (("--shapes", "4x64"), "--shapes: found '4x64'"),
    ],
)
def test_a_mistake_is_one_message(vslm: Callable[..., Said], arguments: tuple[str, ...], words: str) -> None:
    """At the option that was typed."""
    said = vslm("bench", *arguments)
    assert said.code == 2
    assert words in said.err
