"""Install pip into a virtual environment made without it, for want of Debian's python3-venv."""

import hashlib
import json
import os
import re
import runpy
import sys
import tempfile
import urllib.parse
import urllib.request

index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
request = urllib.request.Request(index, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
with urllib.request.urlopen(request, timeout=60) as answer:
    files = json.load(answer)["files"]
final = re.compile(r"pip-(\d+(?:\.\d+)*)-py3-none-any\.whl")  # no pre-release has such a name
named = [(final.fullmatch(file["filename"]), file) for file in files if not file.get("yanked")]
_, wheel = max(
    ((tuple(map(int, name[1].split("."))), file) for name, file in named if name),
    key=lambda pair: pair[0],
)
with urllib.request.urlopen(urllib.parse.urljoin(index, wheel["url"]), timeout=60) as answer:
    data = answer.read()
if hashlib.sha256(data).hexdigest() != wheel["hashes"]["sha256"]:
    sys.exit(f"{wheel['filename']} came damaged: try again.")
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, wheel["filename"])
    with open(path, "wb") as file:
        file.write(data)
    sys.path.insert(0, path)  # a wheel is a zip that Python imports from
    sys.argv = ["pip", "install", "--quiet", "--no-index", path]
    runpy.run_module("pip", run_name="__main__")
