"""The worktree that a step of a session works in, and everything that keeps it there."""
