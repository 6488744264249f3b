"""Checkpoints of others as runs: the same logits, and everything that takes a finished run takes them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_study import Said, made_up_text

from vslm.after.hub.checkpoint import Checkpoint
from vslm.after.hub.importing import import_checkpoint
from vslm.after.hub.library import transformers
from vslm.after.hub.taken_over import taken_over
from vslm.core.errors import DataError, SpecError
from vslm.data.tokenizers import BPE
from vslm.models.initialization import Init
from vslm.results.folder import StudyFolder
from vslm.runs.stored_run import StoredRun
from vslm.training.checkpoints import load_model_tensors

pytest.importorskip("transformers", reason="transformers is not installed: pip install 'vslm[hub]'")
CONTEXT_TOKENS, VOCABULARY = 19, 283
LLAMA = {
    "hidden_size": 24,
    "intermediate_size": 29,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT_TOKENS,
}
GPT = {"n_embd": 12, "n_layer": 2, "n_head": 3, "n_positions": CONTEXT_TOKENS}
LLAMAS: dict[str, dict[str, Any]] = {
    "plain": {"num_key_value_heads": 4},
    "tied, shared keys": {"num_key_value_heads": 2, "tie_word_embeddings": True},
    "biases, wide heads, one key head": {
        "num_key_value_heads": 1,
        "head_dim": 14,
        "attention_bias": True,
        "mlp_bias": True,
    },
    "other numbers": {
        "rms_norm_eps": 1e-3,
        "hidden_act": "gelu",
        "rope_parameters": {"rope_type": "default", "rope_theta": 700.0},
    },
}
GPTS: dict[str, dict[str, Any]] = {
    "as GPT-2": {},
    "untied, another activation": {"tie_word_embeddings": False, "activation_function": "relu", "n_inner": 31},
}
CASES = [("LlamaForCausalLM", name, LLAMA | more) for name, more in LLAMAS.items()]
CASES += [("GPT2LMHeadModel", name, GPT | more) for name, more in GPTS.items()]


def made(place: Path, kind: str, config: dict[str, Any], *, vocabulary: int = VOCABULARY) -> Any:
    """A checkpoint with random weights, away from where they start, and a tokenizer beside it."""
    library = transformers("a test")
    model_class = getattr(library, kind)
    model = model_class(model_class.config_class(vocab_size=vocabulary, **config)).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(place)
    BPE(vocabulary=VOCABULARY).fit([made_up_text()]).save(place / "tokenizer.json")
    return model


@pytest.mark.parametrize(("kind", "name", "config"), CASES, ids=[f"{kind}, {name}" for kind, name, _ in CASES])
def test_the_logits_are_the_same(tmp_path: Path, kind: str, name: str, config: dict[str, Any]) -> None:
    """Of models built at random from their configurations, whatever is tied, shared or left out."""
    theirs = made(tmp_path / "checkpoint", kind, config)
    model, weights = taken_over(Checkpoint(tmp_path / "checkpoint"), context_tokens=None, num_ids=VOCABULARY)
    module = model.build(vocabulary=VOCABULARY, init=Init(0)).eval()
    load_model_tensors(module, weights, name)
    assert model.context_tokens == CONTEXT_TOKENS
    tokens_BT = torch.randint(VOCABULARY, (3, CONTEXT_TOKENS), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ours, read = module(tokens_BT), theirs(tokens_BT).logits
    assert ours.std() > 0.1
    torch.testing.assert_close(ours, read, atol=3e-5, rtol=1e-5)


def test_what_takes_a_run_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vslm: Callable[..., Said]) -> None:
    """sample, eval, measure, ls and export; its loss on a text is known; ids that no token has are left out."""
    monkeypatch.chdir(tmp_path)
    theirs = made(tmp_path / "little", "GPT2LMHeadModel", GPT, vocabulary=VOCABULARY + 5)
    (tmp_path / "text.txt").write_text(made_up_text(), encoding="utf-8")
    said = vslm("import", "little", "--data", "text.txt", "--context-tokens", "17")
    assert said.code == 0, said.err
    run = StoredRun(tmp_path / "runs" / "little" / "model" / "seed0")
    module = run.model()
    assert (module.context_tokens, run.tokenizer.vocabulary) == (17, VOCABULARY)
    tokens_BT = torch.arange(17)[None]
    with torch.no_grad():
        torch.testing.assert_close(module(tokens_BT), theirs(tokens_BT).logits[..., :VOCABULARY], atol=3e-5, rtol=1e-5)
    done = run.folder.done
    assert done is not None
    assert done.val_loss is not None
    assert done.val_loss > 2
    assert vslm("sample", "runs/little", "--tokens", "3", "--prompt", "ab").out.startswith("ab")
    (tmp_path / "pairs.jsonl").write_text('{"sentence_good": "abcd", "sentence_bad": "dcba"}\n' * 3, encoding="utf-8")
    assert "is at chance" in vslm("eval", "runs/little", "pairs.jsonl").out
    measured = vslm("measure", "runs/little", "LogitLens")
    assert measured.code == 0, measured.err
    assert "logit_lens.loss_nats_SL" in run.folder.arrays
    page = (tmp_path / "runs" / "little" / "report.html").read_text(encoding="utf-8")
    assert "imported" in page
    assert "little" in vslm("ls").out
    exported = vslm("export", "runs/little", "again")
    assert exported.code == 0, exported.err
    assert f"imported from {tmp_path / 'little'}" in (tmp_path / "again" / "README.md").read_text(encoding="utf-8")
    assert StudyFolder(tmp_path / "runs" / "little").record_problem is None


def test_without_a_text_measures_of_text_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vslm: Callable[..., Said]
) -> None:
    """With what to do; the rest works."""
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "little", "LlamaForCausalLM", LLAMA)
    assert vslm("import", "little", "--out", "here").code == 0
    assert vslm("sample", "here", "--tokens", "3").code == 0
    said = vslm("measure", "here", "LogitLens")
    assert said.code == 1
    assert "it was imported without a text" in said.err
    again = vslm("import", "little", "--out", "here")
    assert again.code == 2
    assert "it is there already" in again.err


def _without(place: Path, name: str) -> None:
    tensors = load_file(place / "model.safetensors")
    del tensors[name]
    save_file(tensors, place / "model.safetensors", metadata={"format": "pt"})


def _with(place: Path, name: str) -> None:
    tensors = load_file(place / "model.safetensors") | {name: torch.zeros(2)}
    save_file(tensors, place / "model.safetensors", metadata={"format": "pt"})


def _config(place: Path, **changes: Any) -> None:
    values = json.loads((place / "config.json").read_text()) | changes
    (place / "config.json").write_text(json.dumps(values))


def _cut(place: Path) -> None:
    content = (place / "model.safetensors").read_bytes()
    (place / "model.safetensors").write_bytes(content[:-97])


def _pickled(place: Path) -> None:
    (place / "model.safetensors").rename(place / "pytorch_model.bin")


def _metaspace(place: Path) -> None:
    content = json.loads((place / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    (place / "tokenizer.json").write_text(
        json.dumps({**content, "model": {**content["model"], "vocab": {**vocabulary, "\u2581it": len(vocabulary)}}})
    )


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda place: _without(place, "model.norm.weight"),
            r"weights missing: model\.norm\.weight; is the checkpoint w",
        ),
        (lambda place: _with(place, "model.extra"), r"weights more than its layout has: model\.extra"),
        (lambda place: _config(place, model_type="mamba"), "model_type is 'mamba'; checkpoints of llama and gpt2"),
        (lambda place: _config(place, num_key_value_heads=3), "3 heads of keys for 4 of queries"),
        (lambda place: _config(place, hidden_act="mish"), "hidden_act is 'mish'; did you mean"),
        (lambda place: _config(place, rope_parameters={"rope_type": "llama3"}), "plain rotary positions can be taken"),
        (lambda place: _config(place, hidden_size=28), "shape"),
        (_cut, "cannot be read"),
        (_pickled, r"pytorch_model\.bin alone, and no pickle is opened"),
        (_metaspace, "byte-level BPE, as GPT-2 and SmolLM have it"),
        (lambda place: (place / "tokenizer.json").unlink(), r"tokenizer\.json: no such file"),
        (lambda place: (place / "config.json").unlink(), "the folder of a checkpoint is needed"),
    ],
)
def test_what_cannot_be_taken_over_is_said(tmp_path: Path, damage: Callable[[Path], None], said: str) -> None:
    """By file, with what is needed; nothing is left."""
    made(tmp_path / "little", "LlamaForCausalLM", LLAMA)
    damage(tmp_path / "little")
    with pytest.raises(Exception, match=said) as caught:
        import_checkpoint(tmp_path / "little", tmp_path / "out", say=print)
    assert type(caught.value).__module__ == "vslm.core.errors"
    assert not (tmp_path / "out").exists()


def test_a_context_longer_than_the_checkpoint_has_is_refused(tmp_path: Path) -> None:
    """And a folder that is none."""
    made(tmp_path / "little", "LlamaForCausalLM", LLAMA)
    with pytest.raises(DataError, match="--context-tokens: found 20; 1 to 19 are what the checkpoint has"):
        import_checkpoint(tmp_path / "little", tmp_path / "out", context_tokens=20, say=print)
    with pytest.raises(DataError, match=r"no such folder; .*hf download"):
        import_checkpoint(tmp_path / "none", tmp_path / "out", say=print)
    (tmp_path / "out").mkdir()
    with pytest.raises(SpecError, match="it is there already"):
        import_checkpoint(tmp_path / "little", tmp_path / "out", say=print)
