"""What is watched and told: who expires when, what breaks when, metrics and alert rules. Pure."""
