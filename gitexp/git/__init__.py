"""The only floor that touches git: the git program, libgit2 objects, and every ref name."""
