"""Hooks of git and of coding agents: installation, and what each does when it is called.

The hooks themselves are the small shell scripts in ``hooks/``; they call ``git exp hook NAME``.
"""
