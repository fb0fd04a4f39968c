"""MemoryLab as it is, on a store that is git (docs/memorylab.md)."""
