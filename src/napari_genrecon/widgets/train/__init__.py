"""The Train page: crops, recipe, runs."""
