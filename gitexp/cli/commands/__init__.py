"""The commands: each module has ``configure(parser)`` and ``run(args, context) -> int``.

What a command computes stands in a function that returns data; ``run`` only shows it.
"""
