"""The operator's web pages: views of the console's readers, templates, and the routes that serve them."""
