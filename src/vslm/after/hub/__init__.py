"""Hugging Face both ways: a run as a checkpoint that `transformers` reads without code of ours, and back.

layout.py      what a layout is: which models it can hold, and their weights by its names
llama.py       LlamaForCausalLM
gpt2.py        GPT2LMHeadModel
exporting.py   a run -> a folder that was read back and compared
card.py        the README of that folder
library.py     `transformers`, which is an extra and imported there alone
"""
