"""Models of others: bring them in as the same card, and give ours away in a form that others read."""
