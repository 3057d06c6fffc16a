"""Networks whose weights come from elsewhere: their constructors take the weights, which tell the architecture."""
