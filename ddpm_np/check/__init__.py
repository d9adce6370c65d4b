"""The maths checker: verify this package's or anyone's implementation equation by equation."""

from ddpm_np.check.result import CONVENTION, FAIL, PASS, PRECISION, UNVERIFIED, Report, Result
from ddpm_np.check.runner import run

__all__ = ["CONVENTION", "FAIL", "PASS", "PRECISION", "UNVERIFIED", "Report", "Result", "run"]
