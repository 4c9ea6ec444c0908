"""Octets in, facts out: no input or output, no clock, no logging, no global state."""
