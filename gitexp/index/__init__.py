"""The index: what the shards say, as tables that answer at once (docs/index.md).

It is derived from the shards alone and can be deleted at any time.
"""
