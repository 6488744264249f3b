import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_text import stories, story

from vslm.core.errors import DataError, SpecError
from vslm.data import splits as splits_module
from vslm.data.documents import Document
from vslm.data.splits import SPLITS, Pieces, SplitDocuments, SplitName, Splits, cut_into_blocks, split_documents


def split(texts: list[str], splits: Splits | None = None, bytes_per_token: float = 4.0) -> SplitDocuments:
    """Split plain texts."""
    documents = [Document(str(i), text) for i, text in enumerate(texts)]
    return split_documents(documents, splits or Splits(), bytes_per_token=bytes_per_token, where="here")


def by_split(parts: SplitDocuments) -> dict[SplitName, list[str]]:
    """The texts of each split."""
    return {name: list(parts.texts(name)) for name in SPLITS}


def place(text: str) -> float:
    """Where a text lies between 0 and 1."""
    pieces = Pieces()
    pieces.add(text)
    return float(pieces.places[0])


@given(st.text(alphabet=" \n\t\u00a0\u3000\x1cabé", max_size=60))
def test_a_long_text_is_hashed_in_parts_as_it_is_whole(text: str) -> None:
    """Every run of whitespace is one space, wherever a part ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits_module, "_CHARACTERS_AT_A_TIME", 5)
        found = splits_module.normalized_digest(text)
    assert found == hashlib.sha256(" ".join(text.split()).encode()).digest()


def test_membership_does_not_depend_on_order() -> None:
    """The same documents shuffled fall into the same splits."""
    texts = stories(307)
    shuffled = random.Random(0).sample(texts, len(texts))
    first, second = split(texts), split(shuffled)
    assert all(set(by_split(first)[name]) == set(by_split(second)[name]) for name in SPLITS)


def test_adding_documents_moves_none() -> None:
    """What was held out of a smaller corpus is held out of a larger one."""
    few, many = split(stories(307)), split(stories(1009))
    assert all(set(by_split(few)[name]) <= set(by_split(many)[name]) for name in SPLITS)


def test_the_order_of_the_source_is_kept_within_a_split() -> None:
    """Hashing chooses, it does not shuffle."""
    texts = stories(307)
    for part in by_split(split(texts)).values():
        assert part == sorted(part, key=texts.index)


def test_shares_are_about_as_asked() -> None:
    """Of 2,003 documents, 20% and 10% within four standard deviations."""
    parts = by_split(split(stories(2003, 11), Splits(val_fraction=0.2, select_fraction=0.1)))
    assert abs(len(parts["val"]) - 401) < 4 * 18
    assert abs(len(parts["select"]) - 200) < 4 * 13.5


def test_repeats_are_kept_once_and_counted_whatever_their_whitespace() -> None:
    """Two documents that differ in spaces and line ends are one."""
    texts = stories(101)
    parts = split([*texts, texts[3], "\n " + texts[5].replace(" ", "  \r\n"), "  \n", ""])
    assert parts.num_repeats == 2
    assert parts.num_documents == 101
    assert sorted(text for name in SPLITS for text in by_split(parts)[name]) == sorted(texts)


def test_blank_documents_are_neither_documents_nor_repeats() -> None:
    """They hold no text."""
    assert split([*stories(101), " ", "\n", "\t"]).num_repeats == 0


@pytest.mark.parametrize("count", [1, 2, 49])
def test_a_corpus_of_few_documents_is_cut_and_loses_nothing(count: int) -> None:
    """Every split gets text, and the blocks together are all of it."""
    texts = ["\n".join(stories(1201 // count, 17 + i)) for i in range(count)]
    parts = split(texts)
    assert parts.cut_into_blocks
    assert parts.num_documents == count
    assert all(by_split(parts)[name] for name in SPLITS)
    assert sum(len(text) for name in SPLITS for text in by_split(parts)[name]) == sum(map(len, texts))


@pytest.mark.parametrize(("characters", "block"), [(10_000, 1024), (128_000, 2_000), (2_000_000, 16 * 1024)])
def test_blocks_grow_with_the_text(characters: int, block: int) -> None:
    """A 64th of it, but no less than 1 KB and no more than 16."""
    text = "".join(f"{i:09}\n" for i in range(characters // 10))
    assert split([text]).block_characters == block


def test_one_document_that_could_fill_a_split_is_cut_too() -> None:
    """Whole documents are only hashed where none holds over a tenth of the text."""
    texts = stories(101)
    assert not split(texts).cut_into_blocks
    assert split([*texts, "\n".join(stories(31, 97))]).cut_into_blocks


def test_blocks_that_follow_one_another_in_a_split_are_one_text_again() -> None:
    """No false end of a document where the text goes on."""
    text = "\n".join(stories(2003))
    parts = split([text])
    for part in by_split(parts)["train"]:
        assert part in text
    assert len(by_split(parts)["train"]) <= 1 + len(by_split(parts)["val"] + by_split(parts)["select"]) + 1
    assert max(map(len, by_split(parts)["train"])) > 3 * (parts.block_characters or 0)


@pytest.mark.parametrize("seed", range(23))
def test_luck_never_leaves_a_split_with_less_than_half_its_share(seed: int) -> None:
    """With few blocks, hashing alone would leave val empty now and then."""
    text = "\n\n".join(story(1000 * seed + i, 41) for i in range(67))
    parts = split([text])
    total = len(text)
    assert sum(map(len, by_split(parts)["val"])) >= 0.05 * total
    assert sum(map(len, by_split(parts)["select"])) >= 0.025 * total
    assert sum(map(len, by_split(parts)["train"])) >= 0.5 * total


def test_luck_above_half_of_a_share_is_left_as_it_is() -> None:
    """Val is filled up to half of its share and no further: membership goes by hash alone wherever it can."""
    below = 0
    for seed in range(23):
        texts = [story(1000 * seed + i, 41) for i in range(67)]
        val = by_split(split(texts, Splits(min_val_tokens=0)))["val"]
        share = sum(map(len, val)) / sum(map(len, texts))
        assert share >= 0.05
        below += share < 0.095  # up to the whole share it would be this in none
        if share > 0.065:  # more than one text above what was needed
            assert set(val) == {text for text in texts if place(text) < 0.1}
    assert below


def test_val_grows_to_the_tokens_it_needs_where_the_corpus_allows() -> None:
    """Up to a fifth of the text; beyond that the share stays as declared."""
    texts = stories(1009)
    total = sum(map(len, texts))
    need = int(0.15 * total / 4.0)
    grown = split(texts, Splits(min_val_tokens=need))
    assert 0.15 * total <= sum(map(len, by_split(grown)["val"])) < 0.16 * total
    declared = split(texts, Splits(min_val_tokens=0))
    assert by_split(split(texts, Splits(min_val_tokens=2 * need))) == by_split(declared)
    assert set(by_split(declared)["val"]) < set(by_split(grown)["val"])
    assert by_split(declared)["select"] == by_split(grown)["select"]


@pytest.mark.parametrize("texts", [[], ["", " \n"], ["one short line"], ["same"] * 100, ["a", "b"]])
def test_a_corpus_too_small_for_three_splits_says_what_is_needed(texts: list[str]) -> None:
    """The message names the corpus, what was found, and how much is needed."""
    with pytest.raises(DataError, match=r"^here: .*(some kilobytes are needed|4,096 bytes .* are the least)"):
        split(texts)


@given(st.integers(0, 10_000), st.integers(3, 40), st.floats(0.01, 0.5), st.floats(0.01, 0.4), st.integers(0, 2_000))
def test_no_text_is_ever_lost_or_in_two_splits(seed: int, count: int, val: float, select: float, least: int) -> None:
    """For any shares and any few documents: a whole partition, or a message."""
    texts = [story(seed * 100 + i, 7 + seed % 11) for i in range(count)]
    try:
        parts = split(texts, Splits(val_fraction=val, select_fraction=select, min_val_tokens=least), 1.0)
    except DataError:
        return
    assert sorted(text for name in SPLITS for text in by_split(parts)[name]) == sorted(texts)


@given(st.text(alphabet="ab \n\r\t.é\U0001f600", max_size=400), st.integers(1, 37))
def test_blocks_joined_are_the_text(text: str, block_characters: int) -> None:
    """To the character, and none is longer than twice what was asked."""
    blocks = list(cut_into_blocks(text, block_characters))
    assert "".join(blocks) == text
    assert all(block or not text for block in blocks)


def test_blocks_end_at_blank_lines_then_line_ends_then_spaces_then_anywhere() -> None:
    """The best place within reach is taken."""
    assert next(cut_into_blocks("aaaa b\nb\n\nc" + "c" * 9, 5)) == "aaaa b\nb\n\n"
    assert next(cut_into_blocks("aaaa b\nbbbbb\n\n" + "c" * 9, 5)) == "aaaa b\n"
    assert next(cut_into_blocks("aaaa bb bbbbbbbb\n\n" + "c" * 9, 5)) == "aaaa bb "
    assert next(cut_into_blocks("a" * 23, 5)) == "aaaaa"
    assert next(cut_into_blocks("one word\r\n \t\r\n\r\nand more words", 8)) == "one word\r\n \t\r\n\r\n"


def test_a_rest_of_half_a_block_is_none_of_its_own() -> None:
    """Up to one and a half blocks stay whole."""
    text = "ab cd\n" * 25
    assert [len(block) for block in cut_into_blocks(text, 100)] == [150]
    assert [len(block) for block in cut_into_blocks(text + "x", 100)] == [102, 49]


def test_places_are_pinned() -> None:
    """A change here would move documents between splits of everybody's corpora."""
    assert place("It was a dark\n and stormy night.") == place("It was a dark and stormy night.")
    assert round(place("It was a dark and stormy night."), 6) == PINNED_PLACE


PINNED_PLACE = 0.649867


@pytest.mark.parametrize(
    ("field", "value"),
    [("val_fraction", 0.0), ("val_fraction", 0.51), ("select_fraction", -0.1), ("min_val_tokens", -1)],
)
def test_shares_that_leave_nothing_are_refused(field: str, value: float) -> None:
    """The message names the field."""
    with pytest.raises(SpecError, match=f"^{field}: found"):
        Splits(**{field: value})


def test_shares_that_leave_no_training_text_are_refused() -> None:
    """At most nine tenths can be held out."""
    with pytest.raises(SpecError, match="under a tenth"):
        Splits(val_fraction=0.5, select_fraction=0.45)
