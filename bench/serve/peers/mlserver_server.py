"""Writes MLServer's settings beside the runtime, and starts it."""

import json
import os
import sys
import tempfile

folder = tempfile.mkdtemp(prefix="mlserver-")
here = os.path.dirname(os.path.abspath(__file__))
port = int(os.environ["PORT"])
settings = {
    "http_port": port,
    "grpc_port": port + 1,
    "metrics_port": port + 2,
    "parallel_workers": int(os.environ["WORKERS"]),
    "debug": False,
}
model = {"name": "bench", "implementation": "mlserver_runtime.Runtime"}
for name, content in {"settings.json": settings, "model-settings.json": model}.items():
    with open(os.path.join(folder, name), "w") as file:
        json.dump(content, file)
os.environ["PYTHONPATH"] = here
os.execv(os.path.join(os.path.dirname(sys.executable), "mlserver"), ["mlserver", "start", folder])
