"""Sort mixed cryo-EM particles into structures and motions, and explore the result by hand."""

import os

# Threads that wait for one another sleep instead of turning round and round: beside another busy
# program (a training beside the window, a second training) the latter costs three times the CPU
# time of both, alone it gains nothing (docs/method.md). Read when OpenMP is loaded, with torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
