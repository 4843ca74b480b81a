"""Runs in the peer's environment: its pickles to and from .npy, so that we never open one.

Run as::

    python peer_files.py rows ROWS.npy IND.pkl
    python peer_files.py array Z.pkl Z.npy
    python peer_files.py rotations POSE.pkl ROTATIONS.npy
    python peer_files.py poses ROTATIONS.npy SHIFTS.npy POSE.pkl
"""

import pickle
import sys

import numpy as np


def read(path):
    with open(path, "rb") as file:
        return pickle.load(file)


def main():
    verb, source, *targets = sys.argv[1:]
    if verb == "rows":
        with open(targets[0], "wb") as file:
            pickle.dump(np.load(source), file)
    elif verb == "poses":
        with open(targets[1], "wb") as file:
            pickle.dump((np.load(source), np.load(targets[0])), file)
    elif verb == "array":
        np.save(targets[0], np.asarray(read(source)))
    elif verb == "rotations":
        np.save(targets[0], np.asarray(read(source)[0]))


main()
