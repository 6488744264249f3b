"""Does a model of nanoGPT's published CPU setting land near its published validation loss of 1.88?

Characters, 4 layers, 4 heads, width 128, 64 characters, batch 12, 2,000 steps, no dropout, GPT-2 layout. Run it on
tinyshakespeare: `vslm run studies/shakespeare.py --data input.txt`. Without --data it uses the standard library.
"""

from vslm import (
    AdamW,
    Budget,
    Characters,
    Experiment,
    LossByPosition,
    Primary,
    Splits,
    StandardLibrary,
    Study,
    WarmupCosine,
    gpt2,
)

nanogpt = Experiment(
    model=gpt2(depth=4, width=128, heads=4, context_tokens=64, bias=False),
    data=StandardLibrary(tokenizer=Characters(), splits=Splits(min_val_tokens=0)),
    budget=Budget(tokens=12 * 64 * 2000),
    batch_tokens=12 * 64,
    optimizer=AdamW(learning_rate=1e-3, betas=(0.9, 0.99), weight_decay=0.1),
    schedule=WarmupCosine(warmup_fraction=0.05, final_fraction=0.1),
    measures=(LossByPosition(num_evaluations=12),),
)
STUDY = Study(
    question="Where does nanoGPT's published CPU setting land?",
    prediction="validation loss within 0.03 of 1.88 on tinyshakespeare",
    baseline="nanogpt",
    arms={"nanogpt": nanogpt},
    seeds=3,
    primary=Primary("val_loss", smallest_effect=0.01),
)
