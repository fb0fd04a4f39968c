"""Papers and code, read from where they are, as a text with sections (docs/library.md)."""
