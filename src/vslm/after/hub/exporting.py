"""A run as a checkpoint that `transformers` reads without code of ours. What is written is read back and compared.

    OUT/config.json, model.safetensors, generation_config.json     of the layout, fp32
        tokenizer.json, tokenizer_config.json                      the run's own
        README.md                                                  where it comes from, and what its study said

Covers: logits of whole contexts of ids drawn at random, from the files as they are read again. Does not cover: a text
that holds the letters of the separator, which is letters to us and the separator to other tokenizers.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vslm.after.hub.card import card
from vslm.after.hub.gpt2 import GPT2
from vslm.after.hub.layout import Layout
from vslm.after.hub.library import transformers
from vslm.after.hub.llama import Llama
from vslm.after.sampling import Draws, open_run
from vslm.core.errors import ResultError, SpecError
from vslm.data.tokenizers import END_OF_TEXT, FittedCharacters, FittedTokenizer
from vslm.measure.measure import evaluating
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.results.files import write_text
from vslm.runs.stored_run import WEIGHTS, StoredRun
from vslm.training.checkpoints import load_model_tensors

LAYOUTS: tuple[Layout, ...] = (Llama(), GPT2())
MOST_DIFFERENCE = 1e-4  # of a logit, in fp32
_TEXTS = 4  # that are compared, each as long as the context
_MOST_SHOWN = 4  # misfits of a layout, in a message
_NO_DRAWS = Draws(tokens=1, temperature=0, top_k=None, seed=0)
_FITS = (
    "Llama's holds blocks with RMSNorm, Rotary and SwiGLU, GPT-2's blocks with LayerNorm, learned positions and GELU, "
    "all of one size, seeing everything"
)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        run: whose weights.
        out: where.
        layout: by the name of its class.
        num_layers: that it has.
        difference: the largest between a logit of ours and one of the files as they are read.
    """

    run: Path
    out: Path
    layout: str
    num_layers: int
    difference: float


def export_run(folder: Path, out: Path, *, trust: bool = False) -> Exported:
    """Write the last weights of a run.

    Args:
        folder: of the run, an arm or a study: of the latter two the (baseline's) first finished seed. Of a run with an
            adapter the merged weights are written.
        out: a folder that is not there yet.
        trust: whether code in the folder is run even if this user did not run it before.
    Raises: SpecError for an architecture that no layout holds, without `transformers`, and for a folder that is there;
        ResultError where the files give other logits; nothing is left then.
    """
    if out.exists():
        raise SpecError(str(out), "it is there already", "a new folder is written", "name another, or delete it")
    run = open_run(folder, _NO_DRAWS, trust=trust).run
    spec, tokenizer = run.job.experiment.model, run.tokenizer
    layout = _layout_of(run)
    library = transformers("vslm export")
    module = whole_model(run)
    with evaluating(module):
        config, tensors = layout.config(spec, tokenizer.vocabulary), layout.tensors(spec, module)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as place:
        made = Path(place) / "model"
        _write_model(library, layout, config, tensors, tokenizer, made)
        difference = _largest_difference(library, made, module, tokenizer.vocabulary)
        if not difference <= MOST_DIFFERENCE:
            found = f"read again, its files give logits that differ by {difference:.2g}"
            allowed = f"at most {MOST_DIFFERENCE:g} is let through"
            raise ResultError(str(run.path), found, allowed, "nothing is written; please report this architecture")
        _write_tokenizer(library, tokenizer, spec.context_tokens, made)
        exported = Exported(run.path, out, layout.name, len(spec.visits()), difference)
        write_text(made / "README.md", card(run, exported.layout, difference))
        made.rename(out)
    return exported


def whole_model(run: StoredRun) -> LanguageModel:
    """The last model of a run as one, an adapter merged into it. Raises: ResultError as `StoredRun.whole_tensors`."""
    spec = run.job.experiment.model
    module = spec.build(vocabulary=run.tokenizer.vocabulary, init=Init(seed=0))
    load_model_tensors(module, run.whole_tensors(), str(run.path / WEIGHTS))
    return module.eval()


def _layout_of(run: StoredRun) -> Layout:
    """The layout that holds a model. Raises: SpecError naming what none can say."""
    spec = run.job.experiment.model
    misfits = {layout.name: layout.misfits(spec) for layout in LAYOUTS}
    for layout in LAYOUTS:
        if not misfits[layout.name]:
            return layout
    found = "; ".join(f"{name} cannot say this: {_listed(words)}" for name, words in misfits.items())
    do = "vslm sample, eval and measure take it as it is"
    raise SpecError(str(run.path), found, _FITS, do)


def _listed(words: Sequence[str]) -> str:
    more = f", and {len(words) - _MOST_SHOWN} more" if len(words) > _MOST_SHOWN else ""
    return f"{', '.join(words[:_MOST_SHOWN])}{more}"


def _write_model(
    library: Any,
    layout: Layout,
    config: dict[str, Any],
    tensors: dict[str, Tensor],
    tokenizer: FittedTokenizer,
    made: Path,
) -> None:
    model_class = getattr(library, layout.name)
    end = tokenizer.end_of_text
    ids = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    model = model_class(model_class.config_class(**config, **ids, dtype="float32"))
    own = dict(model.state_dict())
    missing = own.keys() - tensors.keys() - ({"lm_head.weight"} if config["tie_word_embeddings"] else set())
    assert not missing, missing
    model.load_state_dict(tensors, strict=False)
    model.tie_weights()
    model.generation_config = library.GenerationConfig(**ids)
    model.save_pretrained(made)
    if "rope_parameters" in config:  # older versions read the period under this name
        written = json.loads((made / "config.json").read_text(encoding="utf-8"))
        written["rope_theta"] = config["rope_parameters"]["rope_theta"]
        write_text(made / "config.json", json.dumps(written, indent=2, sort_keys=True) + "\n")


def _largest_difference(library: Any, made: Path, module: LanguageModel, vocabulary: int) -> float:
    """Between logits of ours and those of the files, read as anybody would, on contexts of ids drawn at random."""
    read = library.AutoModelForCausalLM.from_pretrained(made, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(0)
    tokens_BT = torch.randint(vocabulary, (_TEXTS, module.context_tokens), generator=generator)
    with evaluating(module):
        ours_BTV, theirs_BTV = module(tokens_BT).float(), read(tokens_BT).logits.float()
    return float((ours_BTV - theirs_BTV).abs().max())


def _write_tokenizer(library: Any, tokenizer: FittedTokenizer, context_tokens: int, made: Path) -> None:
    path = made / "tokenizer.json"
    tokenizer.save(path)
    names = {} if tokenizer.end_of_text is None else dict.fromkeys(("bos_token", "eos_token", "pad_token"), END_OF_TEXT)
    wrapped = library.PreTrainedTokenizerFast(
        tokenizer_file=str(path), model_max_length=context_tokens, clean_up_tokenization_spaces=False, **names
    )
    wrapped.save_pretrained(made)
    sample = "It is." if not isinstance(tokenizer, FittedCharacters) else tokenizer.decode(range(1, 3))
    theirs = library.AutoTokenizer.from_pretrained(made)(sample)["input_ids"]
    if list(theirs) != tokenizer.encode(sample).tolist():
        found = f"read again, its tokenizer makes {theirs} of {sample!r}"
        raise ResultError(str(path), found, f"{tokenizer.encode(sample).tolist()} is needed", "please report this")
