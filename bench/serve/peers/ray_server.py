"""Ray Serve: a replica a core."""

import os
import signal

import ray
from classifier import PORT, WORKERS, Classifier
from ray import serve
from starlette.requests import Request

here = os.path.dirname(os.path.abspath(__file__))


@serve.deployment(num_replicas=WORKERS, ray_actor_options={"num_cpus": 0.5}, max_ongoing_requests=100)
class Bench:
    def __init__(self):
        self.classifier = Classifier()

    async def __call__(self, request: Request):
        return self.classifier.answer(await request.body())


names = ("MODEL", "SIZE", "FORM", "PORT", "WORKERS")
environment = {"PYTHONPATH": here, **{name: os.environ[name] for name in names}}
ray.init(num_cpus=WORKERS + 2, include_dashboard=False, runtime_env={"env_vars": environment})
serve.start(http_options={"host": "127.0.0.1", "port": PORT})
serve.run(Bench.bind(), route_prefix="/predict")
signal.sigwait({signal.SIGTERM, signal.SIGINT})
serve.shutdown()
ray.shutdown()
