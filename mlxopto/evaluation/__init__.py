"""Measuring networks against devices."""
