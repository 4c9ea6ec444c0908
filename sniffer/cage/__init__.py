"""What a process gives up for good before it touches what others wrote."""
