"""Tasks that run side by side: in threads, or in worker processes that share memory."""
