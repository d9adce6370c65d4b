"""The example repository is somebody else's: `test_pytest_plugin` copies it, and its tests are not ours."""

collect_ignore = ["example_repository"]
