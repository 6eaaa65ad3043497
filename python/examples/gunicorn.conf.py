"""What gunicorn reads where it is started in this folder."""

# The app, and so the model, is loaded before the workers fork: they share it.
preload_app = True
