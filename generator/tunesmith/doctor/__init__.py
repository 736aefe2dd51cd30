"""`tunesmith doctor`: numbered rules about a project, each one small class."""
