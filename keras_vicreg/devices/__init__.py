"""The code that knows the backend, its devices and their memory."""
