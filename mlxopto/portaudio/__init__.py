"""What live audio and capture both stand on: devices, streams with a native callback, and memory shared with it."""
