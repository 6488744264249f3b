"""What is typed on the command line: how options are read, and what is said where a command cannot be understood.

Not for: what a value may be. The spec or the option that takes it knows, and says so at the option's name.
"""

from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token
from cyclopts.exceptions import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from vslm.core.errors import SpecError, nearest
from vslm.core.numbers import minutes, real_number, whole_number


def _read_by(read: Callable[..., Any], **how: bool) -> Parameter:
    def convert(_: Any, tokens: Sequence[Token]) -> Any:
        (token,) = tokens
        return read(token.value, token.keyword or "", **how)

    return Parameter(converter=convert)


Count = Annotated[int, _read_by(whole_number)]
Few = Annotated[Count, Parameter(name="-k")]  # how many of something that is ranked
Size = Annotated[int, _read_by(whole_number, is_size=True)]  # of a model or a vocabulary
Minutes = Annotated[float, _read_by(minutes)]
Real = Annotated[float, _read_by(real_number)]
Some = Annotated[str, Parameter(required=True)]  # of `*names`: one or more
SomePaths = Annotated[Path, Parameter(required=True)]
Device = Literal["auto", "cpu", "cuda", "mps"]
DocumentIs = Literal["auto", "file", "line", "paragraph", "row"]
Precision = Literal["auto", "fp32", "bf16"]
RetrieverName = Literal["bm25", "states", "random"]
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]
Flag = Annotated[bool, Parameter(negative="", show_default=False)]
AllowHost = Annotated[tuple[str, ...], Parameter(negative="", show_default=False)]
Texts = Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=True, show_default=False)]
Shapes = Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=True, show_default=False)]
Adapters = Annotated[tuple[Path, ...], Parameter(name="--adapter", negative="", show_default=False)]
Set = Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)]
_NEEDED = {
    "STUDY": "a Python file that defines STUDY is needed, such as studies/quickstart.py",
    "FOLDER": "a folder of results is needed, such as runs/NAME",
    "FOLDERS": "two or more folders of one study are needed",
    "MEASURES": "one or more are needed behind the folder, such as TokenView",
    "PATH": "a file, a folder or a glob is needed",
    "PATHS": "files, folders or globs are needed",
}


def study_first(typed: Sequence[str]) -> list[str]:
    """The words of a command line that named no study, with the one in front that stands last behind the texts of
    `--data`, which takes every word up to the next option.

    >>> study_first(["run", "--data", "a.txt", "b.txt", "study.py", "--seeds", "3"])
    ['run', 'study.py', '--data', 'a.txt', 'b.txt', '--seeds', '3']
    >>> study_first(["run", "--data", "study.py"])
    ['run', '--data', 'study.py']
    """
    words = list(typed)
    options = [place for place, word in enumerate(words) if word == "--data"]
    if not options:
        return words
    texts = list(takewhile(lambda word: not word.startswith("-"), words[options[-1] + 1 :]))
    if len(texts) + len(options) > 2 and texts[-1:] and texts[-1].endswith(".py"):  # a text is left
        words.insert(1, words.pop(options[-1] + len(texts)))
    return words


def in_words(error: CycloptsError) -> SpecError:
    """What the parser found as a message of vslm: where, what was found, what is allowed, what to do."""
    where = " ".join(error.command_chain or ())
    do = f"`vslm {where} --help` shows what it takes" if where else "`vslm --help` shows what there is"
    found = _found(error, where)
    if found is not None:
        return SpecError(found[0], found[1], found[2], do)
    error.verbose = False
    return SpecError(where, str(error), "", do)


def _found(error: CycloptsError, where: str) -> tuple[str, str, str] | None:
    """Where, what was found and what is allowed; None for an unexpected error."""
    app = error.app
    if isinstance(error, UnknownCommandError) and app is not None:
        name = (error.unused_tokens or [""])[0]
        return where, f"no command {name!r}", nearest(name, [known for known in app if not known.startswith("-")])
    if isinstance(error, UnknownOptionError):
        name = (error.token.keyword or error.token.value).partition("=")[0]
        known = [name for argument in error.argument_collection if argument.parse for name in argument.names]
        return where, f"no option {name}", nearest(name, [one for one in known if one.startswith("-")])
    if isinstance(error, UnusedCliTokensError):
        names = " ".join(map(repr, error.unused_tokens or []))
        quoted = "; a * that a shell has expanded must be quoted" if len(error.unused_tokens or []) > 1 else ""
        return where, f"{names} is more than this command takes{quoted}", ""
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        if error.keyword:
            return where, f"no value behind {error.keyword}", ""
        name = _name_of(error)
        return where, f"{name} is missing", _NEEDED.get(name, "")
    if isinstance(error, RepeatArgumentError):
        return str(error.token.keyword), "given twice", "one value is taken"
    if isinstance(error, CoercionError) and error.token is not None:
        return _unfit(error, error.token)
    return None


def _name_of(error: CycloptsError) -> str:
    assert error.argument is not None
    return error.argument.name if error.argument.field_info.is_keyword_only else error.argument.name.lstrip("-").upper()


def _unfit(error: CoercionError, token: Token) -> tuple[str, str, str]:
    choices = list(getattr(error.target_type, "__args__", ()))
    known = [choice for choice in choices if isinstance(choice, str)]
    allowed = f"{', '.join(known[:-1])} or {known[-1]} is needed" if len(known) > 1 else ""
    return token.keyword or _name_of(error), f"found {token.value!r}", allowed or "another value is needed"
