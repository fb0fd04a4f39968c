"""Has this been tried, is it really better, what next (docs/research.md)."""
