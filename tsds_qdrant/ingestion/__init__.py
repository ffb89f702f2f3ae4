"""What is written into collections: records and vectors become points."""
