"""Starts the service as BentoML's command does."""

import os
import sys

bentoml = os.path.join(os.path.dirname(sys.executable), "bentoml")
arguments = ["serve", "bentoml_service:Bench", "--port", os.environ["PORT"], "--host", "127.0.0.1"]
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
os.chdir(os.path.dirname(os.path.abspath(__file__)))
os.execv(bentoml, [bentoml, *arguments])
