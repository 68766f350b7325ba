"""Files that are not audio: JSON and TOML held to a schema, safetensors, npz. What they say is never trusted."""
