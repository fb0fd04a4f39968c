"""The library: papers, methods and what came of them, as shards in git and an index beside them."""
