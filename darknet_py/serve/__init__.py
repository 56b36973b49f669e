"""A detector behind an address: ``darknet-py serve`` (extra ``serve``).

Requests flow through ``app`` (routes and statuses) → ``upload`` (bytes of one picture, within bounds) → ``engine`` (a
bounded queue, decoding beside detecting, pictures that wait computed together) → ``answers`` (JSON of ours and of
DeepStack). ``metrics`` counts on the way. Nothing here opens a path or an address, or writes a file.
"""
