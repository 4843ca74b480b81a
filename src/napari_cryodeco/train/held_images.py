"""Whether the working images are held on a GPU or read from disk batch by batch."""

from __future__ import annotations

import torch

from napari_cryodeco.data.stored_images import Images, StoredImages

SHARE = 0.5  # of the free memory of a GPU that images may take; the rest is for the training
_TOGETHER = 4096  # images copied at once


def on_device(images: StoredImages, device: torch.device) -> Images:
    """Copy the images to a GPU where they fit into half of its free memory; else leave them.

    On a CPU they are never held: what was read lately is in the memory of the system anyway, and
    that gives way where other programs need it.
    """
    if images.nbytes > SHARE * free_memory(device):
        return images
    held = torch.empty(images.shape, dtype=torch.float16, device=device)
    for start in range(0, len(images), _TOGETHER):
        rows = slice(start, start + _TOGETHER)
        held[rows] = images[rows].to(device)
    return held


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU that nobody uses; 0 for a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        used = torch.mps.driver_allocated_memory()
        return max(0, int(torch.mps.recommended_max_memory()) - int(used))
    return 0
