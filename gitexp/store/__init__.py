"""Shards: grow-only sets of JSON lines in git notes, and of files in a tree."""
