"""What coding agents are given: the skill text."""
