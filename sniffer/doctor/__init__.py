"""Coverage and interface facts to findings in words: what is wrong with this picture."""
