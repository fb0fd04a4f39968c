"""Has this been tried: a plan beside everything that was run (docs/research.md, "The guard")."""
