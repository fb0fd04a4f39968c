"""Methods that worked: credit, evidence, ranking (docs/library.md)."""
