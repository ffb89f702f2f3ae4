"""What is made of the words of texts."""
