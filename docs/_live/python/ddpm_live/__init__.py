"""What the live pages ask of Python: it runs in the reader's browser, on the package itself."""
