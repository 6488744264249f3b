"""The names of the classes of tokens, in the order in which arrays of `token_classes` hold them.

They stand here because whoever measures and whoever reports need the same ones, and a report needs no torch.
"""

OCCURRENCES = ("first", "later")
PARTS_OF_WORD = ("word start", "word inside", "digits", "punctuation", "whitespace", "other")


def frequency_name(from_count: int) -> str:
    """An octave of training counts, by its lower end.

    >>> frequency_name(0), frequency_name(1), frequency_name(1024)
    ('never', 'once', 'from 1,024')
    """
    return ("never", "once")[from_count] if from_count < 2 else f"from {from_count:,}"
