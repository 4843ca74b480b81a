"""Install pip into a virtual environment made without it, for want of Debian's python3-venv."""

import hashlib
import os
import re
import runpy
import sys
import tempfile
import urllib.parse
import urllib.request

index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
with urllib.request.urlopen(index, timeout=60) as answer:
    page = answer.read().decode()
# no pre-release has such a name
pattern = r'href="([^"#]*/(pip-(\d+(?:\.\d+)*)-py3-none-any\.whl))#sha256=([0-9a-f]{64})"'
wheels = re.findall(pattern, page)
if not wheels:
    sys.exit(f"{index} lists no pip.")
link, name, _, digest = max(wheels, key=lambda wheel: tuple(map(int, wheel[2].split("."))))
with urllib.request.urlopen(urllib.parse.urljoin(index, link), timeout=60) as answer:
    data = answer.read()
if hashlib.sha256(data).hexdigest() != digest:
    sys.exit(f"{name} came damaged: try again.")
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(data)
    sys.path.insert(0, path)  # a wheel is a zip that Python imports from
    sys.argv = ["pip", "install", "--quiet", "--no-index", path]
    runpy.run_module("pip", run_name="__main__")
