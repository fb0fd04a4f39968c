"""Evaluations: what the research operations are worth, on ledgers and in simulation."""
