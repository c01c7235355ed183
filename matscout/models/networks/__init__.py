"""Surrogates that are neural networks. What needs torch is imported when a network is trained or asked."""
