"""Work done side by side: by threads, or by processes that share memory."""
