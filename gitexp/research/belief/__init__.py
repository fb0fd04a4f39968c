"""What is believed of configurations: noise, effects, posterior (docs/research.md)."""
