"""Who proposes the next experiment: models behind an endpoint, coding agents, scripts."""
