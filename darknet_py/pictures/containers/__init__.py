"""Image files by their container: told by their first bytes, each read by the one decoder that is right and silent."""

import logging

# What decoders say is for those who listen: without this, Python prints warnings that nobody handles.
logging.getLogger(__name__).addHandler(logging.NullHandler())
