"""What records become to be compared: vectors of models, hashed words."""
