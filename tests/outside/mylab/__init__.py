"""A package of a user's: no file of the project knows it."""
