"""What the commands around a trained generator share, and what of them needs torch."""
