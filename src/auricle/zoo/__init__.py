"""Published checkpoints by short names: a catalogue, a cache of what was downloaded, and checksums of it."""

from auricle.zoo.catalogue import Entry, entries, find
from auricle.zoo.store import Checked, LocalCopy, copy_in_cache, download, is_in_cache, local_copy, verify

__all__ = [
    "Checked",
    "Entry",
    "LocalCopy",
    "copy_in_cache",
    "download",
    "entries",
    "find",
    "is_in_cache",
    "local_copy",
    "verify",
]
