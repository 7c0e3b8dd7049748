"""The image, built and run for real; needs docker."""
