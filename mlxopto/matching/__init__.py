"""Which setting of the knobs turns one recording into another."""
