"""Seeds: one 63-bit number from any names, the same on every machine and in every version of Python."""

import hashlib

_SEED_BITS = 63  # torch and numpy both take a non-negative signed 64-bit seed


def derive_seed(*names: int | str) -> int:
    """A seed that depends on all of `names` and on their order, and on nothing else.

    Used for everything random: `derive_seed(init_seed, "blocks.0.attention.query.weight")` gives a parameter its own
    stream of numbers, so that what two arms share starts equal whatever else they build.

    >>> derive_seed(0, "a") == derive_seed(0, "a") != derive_seed(0, "b")
    True
    """
    text = "\x1f".join(f"{type(name).__name__}:{name}" for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> (64 - _SEED_BITS)
