"""What this project measures that the template does not know."""
