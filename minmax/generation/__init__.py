"""Images of a trained generator: drawn, explored in the browser, exported for other runtimes."""
