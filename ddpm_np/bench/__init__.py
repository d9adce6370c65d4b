"""Speed and memory, side by side with PyTorch where it is installed.

Everything is measured in turn in one process: ours, PyTorch's in one layout, in the other, and again; what is compared
is the ratio of neighbours, so that a machine that is busy for a while slows both. `plan` lists what there is to do as
`Task`s; a `Record` keeps what came out, with all raw times, and is written as JSON; `tables` shows it.
"""

from ddpm_np.bench.nets import NETS, Net
from ddpm_np.bench.plan import DEFAULT, WHAT, Settings, Task, plan
from ddpm_np.bench.record import Record, Result
from ddpm_np.bench.tables import markdown, refresh

__all__ = ["DEFAULT", "NETS", "WHAT", "Net", "Record", "Result", "Settings", "Task", "markdown", "plan", "refresh"]
