"""Live audio: a duplex stream whose callback is native, and what Python may see and steer of it."""
