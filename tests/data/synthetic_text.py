"""Stories made of a few words, different in every document, and documents that try to break things."""

import random
from pathlib import Path

_WORDS = ("the", "a", "cat", "dog", "bird", "saw", "found", "lost", "red", "small", "house", "river", "tree", "because")

HOSTILE = {
    "script": '</script><script>alert("x")</script><img src=x onerror=alert(1)>',
    "nul": "before\x00after\x00",
    "lone carriage return": "one\rtwo\r\rthree\r\nfour\n\r",
    "byte order mark": "\ufeffstart and \ufeff middle",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301 é \U0010ffff",
    "line separators": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "separator inside a line": "not <|endoftext|> a separator <|endoftext|><|endoftext|>",
    "separator in pieces": "<|endof text|> <|end<|endoftext|>oftext|>",
    "long line": "x" * 70_001 + " " * 5_003 + "yz" * 10_007,
    "spaces": " \t \u00a0\u3000  \n \n\n\n   ",
    "right to left": "\u202eעברית‮ \u200f العربية",
    "one character": "q",
}


def story(number: int, num_words: int = 120) -> str:
    """A story that no other number gives."""
    rng = random.Random(number)
    words = [rng.choice(_WORDS) for _ in range(num_words)]
    return f"Story {number}. {' '.join(words)}.\n\nIt was {rng.random():.6f} miles.\n"


def stories(count: int, num_words: int = 120) -> list[str]:
    """Different stories."""
    return [story(number, num_words) for number in range(count)]


def written(path: Path, texts: list[str]) -> str:
    """A file with these documents; its path as a user writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("<|endoftext|>\n".join(texts).encode())
    return str(path)
