"""Speed and memory, side by side with PyTorch and other frameworks where they are installed.

The sides take turns in one process: ours, PyTorch's in one memory layout, PyTorch's in the other, and again. Ratios are
taken within a turn, and a turn counts only if other processes left the machine to it. `plan` lists the work as
`Task`s; a `Record` keeps the results with all raw times and is written as JSON; `tables` formats it.
"""

from ddpm_np.bench.machine import class_key, class_of
from ddpm_np.bench.nets import NETS, Net
from ddpm_np.bench.plan import DEFAULT, ON_DEVICE, WHAT, Settings, Task, plan
from ddpm_np.bench.record import Record, Result
from ddpm_np.bench.tables import markdown, page, refresh

__all__ = ["DEFAULT", "NETS", "ON_DEVICE", "WHAT", "Net", "Record", "Result", "Settings", "Task", "class_key",
           "class_of", "markdown", "page", "plan", "refresh"]
