"""The mlxopto command line: parses, prints, plots. No signal processing happens here."""
