"""A folder of Parquet files, one for each block of pictures, that says which blocks are done."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from darknet_py.errors import DarknetError, OptionError, OutputError
from darknet_py.files import write_error, write_whole
from darknet_py.outputs.folders import clear_leftovers, open_folder
from darknet_py.ray.installed import need

__all__ = ["BlockFolder", "block_name", "content_name"]

#: Readers of folders of Parquet files pass over names that begin so.
_RUN = "_run.json"
_BLOCK = re.compile(r"block-[0-9a-f]+\.parquet")


def block_name(number: int) -> str:
    """The file of a block of a list; files sort as the list does."""
    return f"block-{number:08d}.parquet"


def content_name(table: Any) -> str:
    """The file of a block that is known by what is in it alone."""
    pa = need("pyarrow")
    digest, stream = blake2b(digest_size=16), pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema.remove_metadata()) as writer:
        writer.write_table(table.replace_schema_metadata().combine_chunks())
    digest.update(stream.getvalue())
    return f"block-{digest.hexdigest()}.parquet"


@dataclass(frozen=True)
class BlockFolder:
    """A folder of this machine, of one that all machines share, or at an address such as ``s3://bucket/found``.

    A block is there wholly or not at all: on a disk its file gets its name once it is written, and an object store
    shows no object before that.
    """

    place: str

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of a file system."""
        return "://" not in self.place

    def at(self, name: str) -> str:
        """A file in it."""
        return os.path.join(self.place, name) if self.is_local else f"{self.place.rstrip('/')}/{name}"

    def open(self) -> None:
        """See that it is there and can be written to; what a run that was killed had begun is removed.

        Raises
        ------
        OptionError, OutputError
        """
        if self.is_local:
            open_folder(self.place)
            clear_leftovers(Path(self.place))

    def done(self) -> set[str]:
        """Names of the blocks that are there."""
        fs = need("pyarrow.fs")
        store, path = self._store("")
        try:
            entries = store.get_file_info(fs.FileSelector(path, allow_not_found=True))
        except OSError as error:
            raise write_error(self.place, error) from error
        return {entry.base_name for entry in entries if _BLOCK.fullmatch(entry.base_name)}

    def write(self, name: str, table: Any) -> None:
        """Write a block.

        Raises
        ------
        OptionError, OutputError
        """
        pa = need("pyarrow")
        stream = pa.BufferOutputStream()
        need("pyarrow.parquet").write_table(table, stream)
        self._write(name, stream.getvalue())

    def count(self, name: str) -> tuple[int, int]:
        """Rows of a block that is there, and how many of them have an error."""
        store, path = self._store(name)
        try:
            with store.open_input_file(path) as file:
                read = need("pyarrow.parquet").read_table(file, columns=["error"])
        except (OSError, ValueError, KeyError) as error:
            raise OptionError(f"{self.at(name)}: no block as detect_to_parquet writes them ({error})") from error
        return len(read), len(read) - read.column("error").null_count

    def run(self) -> dict[str, Any] | None:
        """What was said of the run that it holds blocks of; None if nobody did.

        Raises
        ------
        OptionError
            It is no such text.
        """
        fs = need("pyarrow.fs")
        store, path = self._store(_RUN)
        if store.get_file_info(path).type == fs.FileType.NotFound:
            return None
        try:
            with store.open_input_file(path) as file:
                said = json.loads(file.read())
            if not isinstance(said, dict):
                raise ValueError("no object")
        except (OSError, ValueError) as error:
            raise OptionError(f"{self.at(_RUN)}: not as detect_to_parquet writes it ({error})") from error
        return said

    def say(self, run: Mapping[str, Any]) -> None:
        """Write what its blocks have in common."""
        self._write(_RUN, json.dumps(run, indent=1).encode())

    def _write(self, name: str, data: Any) -> None:
        if self.is_local:
            write_whole(self.at(name), memoryview(data), lasting=True)  # type: ignore[arg-type]
            return
        store, path = self._store(name)
        try:
            with store.open_output_stream(path) as file:
                file.write(data)
        except OSError as error:
            raise OutputError(f"{self.at(name)}: cannot be written ({error})") from error

    def _store(self, name: str) -> tuple[Any, str]:
        fs = need("pyarrow.fs")
        if self.is_local:
            return fs.LocalFileSystem(), os.path.join(self.place, name)
        try:
            store, path = fs.FileSystem.from_uri(self.at(name) if name else self.place)
        except (OSError, ValueError) as error:
            raise DarknetError(f"{self.place}: cannot be opened ({error})") from error
        return store, path
