"""The expression language of ``--where``, ``--sort``, ``--columns`` and the library's ``where=``.

``syntax`` reads text into a tree, ``names`` says what its names stand for, ``compile`` turns the
tree into an SQLite expression and its parameters, ``ranges`` finds what an index can answer.
``regex`` and ``text`` are the parts that SQLite does not have. For users: docs/reference/query.md.
"""
