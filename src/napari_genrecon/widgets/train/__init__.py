"""Train page: crops, recipe, runs."""
