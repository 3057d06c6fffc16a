"""Jobs in threads: one way to run, show, cancel and end them."""
