"""Who is a candidate, and what is known of its text."""
