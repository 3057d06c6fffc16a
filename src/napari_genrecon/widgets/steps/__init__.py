"""Page that runs several tasks in a row."""
