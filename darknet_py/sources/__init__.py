"""Where pictures come from: files, folders, lists, addresses, videos, cameras and streams, all as sources of items.

``opening`` finds out what a name on the command line stands for; ``pictures``, ``addresses``, ``video`` and ``live``
are the kinds of sources; ``pyav`` and ``opencv`` read videos; ``looking`` runs a detector over sources in stages that
overlap. Nothing here knows of files that are written.
"""

from __future__ import annotations

from darknet_py.sources.choice import Choice
from darknet_py.sources.item import Item, Source
from darknet_py.sources.looking import Seen, look
from darknet_py.sources.opening import open_sources

__all__ = ["Choice", "Item", "Seen", "Source", "look", "open_sources"]
