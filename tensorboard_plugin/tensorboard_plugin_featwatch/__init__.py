"""The TensorBoard plugin of featwatch.  Importing it imports neither Keras nor TensorFlow."""
