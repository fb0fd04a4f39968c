"""Check that everything recorded is whole, and repair what can be (docs/format.md says how it is).

Everything is derived again: `store` reads what is there, each of the modules beside it looks at
one thing and returns findings, `check` asks them all, and `repair` does what can be done.
"""
