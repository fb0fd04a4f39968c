"""Data in, text out: no printing, no git, no opinion about where the text goes."""
