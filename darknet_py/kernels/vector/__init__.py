"""Vector code: what a few lanes are loaded, computed and stored with, from which tiles and operations are made."""
