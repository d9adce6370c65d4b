"""The project's own tests, beside which the equations stand."""


def test_the_script_has_a_docstring():
    import diffusion

    assert diffusion.__doc__
