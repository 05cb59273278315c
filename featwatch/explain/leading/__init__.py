"""Samples led a few steps towards what maximises a filter."""
