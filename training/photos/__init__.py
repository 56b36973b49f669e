"""Real photographs to validate with, never to train on: truth from what readers agree about, and the figures."""
