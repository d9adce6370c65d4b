"""The maths checker: equation by equation, for this package and for anyone's."""

from ddpm_np.check.result import CONVENTION, FAIL, PASS, PRECISION, UNVERIFIED, Report, Result
from ddpm_np.check.runner import run

__all__ = ["CONVENTION", "FAIL", "PASS", "PRECISION", "UNVERIFIED", "Report", "Result", "run"]
