"""Networks from elsewhere, and to elsewhere."""
