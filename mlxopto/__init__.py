"""mlxopto learns an optical compressor from recordings, and then is that compressor."""

__version__ = "0.1.0"
