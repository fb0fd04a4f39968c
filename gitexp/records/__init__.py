"""The format, in code: every line that is stored, with its codec. No I/O happens here.

`facts` holds what is said about a run, `series` the columnar log of what it tracked, and
`values` turns what users pass in into what JSON can keep. docs/format.md is the normative
text; its property tests quote it.
"""
