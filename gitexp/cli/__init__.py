"""The command line: one module a command, found by a table of literals."""
