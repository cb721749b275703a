"""Draws a trained generator's images, explores them in the browser, exports the generator."""
