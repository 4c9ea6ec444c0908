"""Where frames come from: capture files, and interfaces through the kernel's ring."""
