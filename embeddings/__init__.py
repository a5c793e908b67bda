"""Texts to unit float32 vectors to nearest neighbours: the only place that imports torch and faiss."""
