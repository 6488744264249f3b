"""Runs as checkpoints of `transformers`: the same logits without code of ours, or a refusal that says why."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_study import Said
from test_run import job_for

from vslm.after.hub.exporting import LAYOUTS, MOST_DIFFERENCE, export_run
from vslm.after.hub.layout import Layout
from vslm.after.hub.library import transformers
from vslm.core.errors import ResultError, SpecError
from vslm.core.paths import vary
from vslm.models.elements.exits import Exit
from vslm.models.generation import generate
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel, Model
from vslm.models.layouts.patterns import cycle, share_attention
from vslm.models.layouts.plain import gpt2, uniform
from vslm.models.parts.activations import GELUActivation, ReLUActivation, SiLUActivation
from vslm.models.parts.feedforward import MLP, GatedMLP, SwiGLU
from vslm.models.parts.gates import SigmoidGate
from vslm.models.parts.normalizers import HeadGain, Power, Softmax
from vslm.models.parts.norms import LayerNorm, RMSNorm
from vslm.models.parts.readouts import Untied
from vslm.models.parts.residuals import ScaledAdd
from vslm.models.path.repeats import Repeat
from vslm.models.path.shares import LowRank
from vslm.runs.run import run_job
from vslm.runs.stored_run import StoredRun

pytest.importorskip("transformers", reason="transformers is not installed: pip install 'vslm[hub]'")
CONTEXT_TOKENS, VOCABULARY = 23, 37
LLAMA = uniform(depth=2, width=20, heads=2, context_tokens=CONTEXT_TOKENS)
SHARED = share_attention(LLAMA.blocks["0"], depth=3).into(LLAMA)  # type: ignore[arg-type]
GPT = gpt2(depth=2, width=15, heads=3, context_tokens=CONTEXT_TOKENS)
LLAMAS: dict[str, Model] = {
    "plain": LLAMA,
    "untied": uniform(depth=2, width=20, heads=2, context_tokens=CONTEXT_TOKENS, tied_readout=False),
    "normed root": uniform(depth=2, width=20, heads=2, context_tokens=CONTEXT_TOKENS, recipe="normed"),
    "other multiplier": vary(LLAMA, {"root.multiplier": 7.0}),
    "biases": vary(LLAMA, {"blocks.*.attention.bias": True, "blocks.1.feedforward": SwiGLU(hidden=56, bias=True)}),
    "gated GELU": vary(LLAMA, {"blocks.*.feedforward": GatedMLP(activation=GELUActivation(), hidden=13)}),
    "temperature": vary(LLAMA, {"blocks.*.attention.normalizer": Softmax(temperature=0.4)}),
    "gain per head": vary(LLAMA, {"blocks.*.attention.normalizer": HeadGain(start=0.7)}),
    "gain of the sum": vary(LLAMA, {"blocks.*.residual": ScaledAdd(start=0.3)}),
    "wide heads": vary(LLAMA, {"blocks.*.attention.head_width": 14}),
    "base and epsilon": vary(
        LLAMA,
        {
            "blocks.*.attention.positions.base": 500.0,
            "blocks.*.norm": RMSNorm(epsilon=1e-3),
            "readout.norm": RMSNorm(epsilon=1e-3),
        },
    ),
    "as wide a window as the context": vary(LLAMA, {"blocks.*.attention.window_tokens": CONTEXT_TOKENS}),
    "a path that comes back": cycle(LLAMA.blocks["0"], LLAMA.blocks["1"]).into(LLAMA),  # type: ignore[arg-type]
    "loops": dataclasses.replace(LLAMA, path=("0", Repeat(body=("1",), times=3))),
    "shared attention": SHARED,
    "shared but for a small change": vary(SHARED, {"blocks.1.delta": LowRank(rank=3)}),
}
GPTS: dict[str, Model] = {
    "plain": GPT,
    "no biases": gpt2(depth=2, width=15, heads=3, context_tokens=CONTEXT_TOKENS, bias=False),
    "untied": dataclasses.replace(GPT, readout=Untied(norm=LayerNorm())),
    "ReLU": vary(GPT, {"blocks.*.feedforward": MLP(activation=ReLUActivation(), hidden=31, bias=True)}),
    "SiLU, gain": vary(
        GPT, {"blocks.*.feedforward": MLP(activation=SiLUActivation()), "blocks.*.residual": ScaledAdd(start=0.3)}
    ),
}
CASES = [(LAYOUTS[0], name, model) for name, model in LLAMAS.items()]
CASES += [(LAYOUTS[1], name, model) for name, model in GPTS.items()]


def moved(model: Model) -> LanguageModel:
    """A module with weights that are all away from where they start: gains from 1, biases and small changes from 0."""
    module, generator = model.build(vocabulary=VOCABULARY, init=Init(3)).eval(), torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator) * (0.3 if parameter.ndim > 1 else 1))
    return module


@pytest.mark.parametrize(("layout", "name", "model"), CASES, ids=[f"{one.name}, {name}" for one, name, _ in CASES])
def test_the_logits_are_the_same(layout: Layout, name: str, model: Model) -> None:
    """Of every model that a layout holds, with all that is folded into matrices."""
    assert layout.misfits(model) == []
    module, library = moved(model), transformers("a test")
    model_class = getattr(library, layout.name)
    theirs = model_class(model_class.config_class(**layout.config(model, VOCABULARY))).eval()
    found = theirs.load_state_dict(layout.tensors(model, module), strict=False)
    assert not found.unexpected_keys
    assert set(found.missing_keys) <= ({"lm_head.weight"} if theirs.config.tie_word_embeddings else set())
    theirs.tie_weights()
    tokens_BT = torch.randint(VOCABULARY, (3, CONTEXT_TOKENS), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ours, read = module(tokens_BT), theirs(tokens_BT).logits
    assert ours.std() > 0.1
    torch.testing.assert_close(read, ours, atol=MOST_DIFFERENCE / 3, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"blocks.1.attention.window_tokens": 5}, "blocks.1 sees a window of 5 tokens"),
        ({"blocks.1.attention.normalizer": Power(exponent=0.75)}, "blocks.1 has the normalizer Power"),
        ({"blocks.*.attention.qk_norm": RMSNorm()}, "blocks.0 has a norm on queries and keys"),
        ({"blocks.0.attention.gate": SigmoidGate()}, "blocks.0 has the gate SigmoidGate"),
        ({"blocks.0.attention.heads": 4, "blocks.0.attention.head_width": 10}, "heads differ: 4 in blocks.0, 2 in bl"),
        ({"blocks.1.feedforward": SwiGLU(hidden=9)}, "hidden sizes differ: 56 in blocks.0, 9 in blocks.1"),
        ({"blocks.1.norm": RMSNorm(epsilon=0.1)}, "the epsilons of its norms differ"),
        ({"blocks.1.feedforward": MLP(activation=ReLUActivation())}, "which is not gated"),
    ],
)
def test_what_a_layout_cannot_say_is_named(change: dict, said: str) -> None:
    """And by the other layout, too."""
    model = vary(LLAMA, change)
    assert any(said in words for words in LAYOUTS[0].misfits(model))
    assert LAYOUTS[1].misfits(model)
    assert LAYOUTS[1].misfits(LLAMA)
    assert LAYOUTS[0].misfits(GPT)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of the Llama layout."""
    folder = tmp_path / "a" / "seed5"
    run_job(job_for(tmp_path), folder, lambda message: None)
    return folder


def test_a_run_is_read_by_transformers_alone(run: Path, tmp_path: Path, vslm: Callable[..., Said]) -> None:
    """With its tokenizer; greedy generation is ours; the card says where it comes from."""
    out = tmp_path / "out"
    said = vslm("export", str(run), str(out))
    assert said.code == 0, said.err
    assert "LlamaForCausalLM with" in said.out
    assert "largest difference of a logit" in said.out
    assert {path.name for path in out.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json", "README.md"}
    config = json.loads((out / "config.json").read_text())
    assert "auto_map" not in config
    library, stored = transformers("a test"), StoredRun(run)
    tokenizer, model = library.AutoTokenizer.from_pretrained(out), library.AutoModelForCausalLM.from_pretrained(out)
    text = "abcd efgh ab"
    ids = tokenizer(text, return_tensors="pt")
    assert ids["input_ids"][0].tolist() == stored.tokenizer.encode(text).tolist()
    assert tokenizer.decode(ids["input_ids"][0]) == text
    written = model.generate(**ids, max_new_tokens=5, do_sample=False)[0, ids["input_ids"].shape[1] :].tolist()
    generator = torch.Generator()
    prompt_T = ids["input_ids"][0]
    own = list(generate(stored.model(), prompt_T, num_tokens=5, temperature=0, generator=generator))
    assert written == own[: len(written)]
    card = (out / "README.md").read_text()
    assert stored.job.fingerprint in card
    assert "library_name: transformers" in card
    again = vslm("export", str(run), str(out))
    assert again.code == 2
    assert "it is there already" in again.err


def test_a_study_is_in_the_card(finished: Callable[..., Path], tmp_path: Path, vslm: Callable[..., Said]) -> None:
    """Its question, and what was decided; the arm with a window is refused, and nothing is left."""
    study = finished("--seeds", "1")
    assert vslm("export", str(study), str(tmp_path / "full")).code == 0
    card = (tmp_path / "full" / "README.md").read_text()
    assert "Does a short window cost anything?" in card
    assert "the baseline that the others were compared with" in card
    said = vslm("export", str(study / "short"), str(tmp_path / "short"))
    assert said.code == 2
    assert "LlamaForCausalLM cannot say this: blocks.0 sees a window of 3 tokens" in said.err
    assert not (tmp_path / "short").exists()


def test_what_reads_back_as_another_model_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a layout that left something out would; nothing is left behind."""
    (layout, _), out = LAYOUTS, tmp_path / "out"
    config = layout.config

    def other_period(model: Model, vocabulary: int) -> dict:
        return {**config(model, vocabulary), "rope_parameters": {"rope_type": "default", "rope_theta": 20.0}}

    monkeypatch.setattr(layout, "config", other_period)
    with pytest.raises(ResultError, match="its files give logits that differ by"):
        export_run(run, out)
    assert not out.exists()
    assert not list(tmp_path.glob(".export-*"))


def test_without_transformers_it_says_how_to_get_it(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written."""
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(SpecError, match=r"transformers is not installed; pip install 'vslm\[hub\]'"):
        export_run(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_elements_are_no_layers() -> None:
    """An exit in the path is named by where it stands."""
    model = dataclasses.replace(LLAMA, path=("0", Exit(), "1"))
    assert LAYOUTS[0].misfits(model) == ["path.1 is Exit, no block"]
