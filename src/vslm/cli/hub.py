"""Commands for Hugging Face: export, import."""

import sys
from pathlib import Path

from vslm.cli.arguments import Flag, Size, Texts


def export(folder: Path, out: Path, /, *, trust: Flag = False) -> None:
    """Write a trained model as a checkpoint that transformers reads without any code of its own.

    Models of the Llama and of the GPT-2 layout can be written; others are refused, with what they have that cannot be
    said there. What was written is read back, and refused if a logit differs by more than 0.0001. Needs transformers
    (pip install 'vslm[hub]').

    Args:
        folder: Of a run (runs/NAME/ARM/seed0), or of an arm or a study: then the (baseline's) first finished seed.
        out: A new folder.
        trust: Run the code in the folder even if you did not run it on this machine before, or it was changed since.
    """
    from vslm.after.hub.exporting import export_run

    found = export_run(folder, out, trust=trust)
    print(f"{found.out}: {found.layout} with {found.num_layers} layers, from {found.run}")
    print(f"largest difference of a logit {found.difference:.2g}, read back in fp32")


def import_(path: Path, /, *, out: Path | None = None, data: Texts = (), context_tokens: Size | None = None) -> None:
    """Take a checkpoint of the Llama or GPT-2 layout over as a run, for sample, eval, measure, adapters and teachers.

    Nothing is downloaded, and no code of the checkpoint is run: config.json, model.safetensors and tokenizer.json are
    read.

    Args:
        path: The folder of the checkpoint.
        out: A new folder. Default: runs/NAME, by the name of the folder.
        data: Files, folders or globs of text: its loss there is measured, and measures of text can be taken.
        context_tokens: Of the model. Default: as long as the checkpoint's.
    """
    from vslm.after.hub.importing import import_checkpoint

    def say(words: str) -> None:
        print(f"vslm: {words}", file=sys.stderr, flush=True)

    place = out or Path("runs") / path.resolve().name
    run = import_checkpoint(path, place, data=data, context_tokens=context_tokens, say=say)
    print(f"{run}: vslm sample, eval and measure take it")
