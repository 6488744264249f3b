"""What a retriever keeps in the folder of a store, so that it is made once: files with checksums, without pickle.

A folder that is missing, torn or of another store is made again. One that cannot be written (somebody else's store, a
full disk) is made each time: it spares time, no more.
"""

import contextlib
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from vslm.core.errors import ResultError, VslmError
from vslm.knowledge.store import Store
from vslm.results.files import read_json, sha256, write_json
from vslm.results.seals import sealed, was_changed

T = TypeVar("T")


def kept(
    store: Store, name: str, *, make: Callable[[], T], save: Callable[[T, Path], None], load: Callable[[Path], T]
) -> T:
    """What `make` makes: read from the store's folder where it lies there, whole; else made and written there.

    Args:
        store: of what it is made.
        name: of the folder in the store's; another one for whatever else decides what is made.
        make: makes it.
        save: writes it into a folder.
        load: reads it from there.
    """
    if store.folder is None:
        return make()
    folder = store.folder / name
    if _is_whole(folder, store):
        return load(folder)
    made = make()
    temporary = folder.with_name(f".{name}.{secrets.token_hex(4)}.tmp")
    try:
        with contextlib.suppress(OSError, VslmError):
            temporary.mkdir()
            save(made, temporary)
            files = {path.name: sha256(path) for path in sorted(temporary.iterdir())}
            write_json(temporary / "index.json", sealed({"store": store.fingerprint, "sha256": files}))
            if folder.exists():
                shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return made


def _is_whole(folder: Path, store: Store) -> bool:
    try:
        index: Any = read_json(folder / "index.json")
        if was_changed(index) or index["store"] != store.fingerprint:
            return False
        return all(sha256(folder / Path(name).name) == digest for name, digest in index["sha256"].items())
    except (ResultError, OSError, KeyError, TypeError, AttributeError):
        return False
