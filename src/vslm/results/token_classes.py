"""The names of the classes of tokens, in the order in which arrays of `token_classes` hold them.

They stand here because whoever measures and whoever reports need the same ones, and a report needs no torch.
"""

OCCURRENCES = ("first", "later")
PARTS_OF_WORD = ("word start", "word inside", "digits", "punctuation", "whitespace", "other")


def frequency_name(from_count: int) -> str:
    """A bucket of training counts, from its lower end to below twice that.

    >>> frequency_name(0), frequency_name(1), frequency_name(4), frequency_name(1024)
    ('never', '1', '4 to 7', '1,024 to 2,047')
    """
    if from_count < 2:
        return "1" if from_count else "never"
    return f"{from_count:,} to {2 * from_count - 1:,}"
