"""What `fit`, `validate` and `test` do."""
