"""Run jobs in threads: start, show, cancel and end them."""
