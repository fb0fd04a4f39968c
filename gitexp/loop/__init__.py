"""The loop: propose, guard, run, decide, keep or drop, again (docs/loop.md)."""
