"""The Generate dock: sample a model and explore what it has learnt."""
