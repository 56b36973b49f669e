"""Public models by name: what is known of them, where their files are kept, and how they get there."""
