"""The command line: thin shells around the library, the only part that prints and chooses exit codes."""
