"""What a compressor does, measured as a reviewer of hardware measures it: one passage through it, and figures of
what comes back.
"""
