"""What all settings objects share: fields that carry their help, and values read from texts."""
