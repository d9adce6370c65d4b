"""Mutation testing of the mathematics: mutants, what kills them, the work that is left. See docs/design/mutation.md."""
