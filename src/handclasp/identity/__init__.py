"""Who may use a link, and how the caller is told to the backend. Pure."""
