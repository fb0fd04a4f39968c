"""The loop: propose, guard, run, decide, promote, again (docs/loop.md)."""
