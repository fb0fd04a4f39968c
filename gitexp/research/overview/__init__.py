"""Where the project stands: registry, report, brief (docs/research.md)."""
