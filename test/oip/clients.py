"""
Asks a server by the clients that people have: tritonclient (sync and aio) and, where it is installed,
KServe's inference client.

    pip install 'tritonclient[http]' kserve
    python test/oip/clients.py http://127.0.0.1:8000 digits
"""

import asyncio
import sys

import numpy as np
import tritonclient.http as http
import tritonclient.http.aio as aio


def of_model(metadata):
    """Name, shape and a batch of one for the model's input; the name of its output."""
    tensor = metadata["inputs"][0]
    shape = [1] + [int(side) for side in tensor["shape"][1:]]
    pixels = np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)
    return tensor["name"], shape, pixels, metadata["outputs"][0]["name"]


def sync(address, model):
    client = http.InferenceServerClient(address)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
    print("server", client.get_server_metadata())
    metadata = client.get_model_metadata(model)
    name, shape, pixels, output = of_model(metadata)
    assert client.get_model_config(model)["max_batch_size"] >= 1
    answers = []
    for binary in (True, False):
        tensor = http.InferInput(name, shape, "UINT8")
        tensor.set_data_from_numpy(pixels, binary_data=binary)
        for wanted in (True, False):
            outputs = [http.InferRequestedOutput(output, binary_data=wanted)]
            for packed in (None, "gzip", "deflate"):
                result = client.infer(
                    model,
                    [tensor],
                    outputs=outputs,
                    request_id="seven",
                    request_compression_algorithm=packed,
                    response_compression_algorithm=packed,
                )
                assert result.get_response()["id"] == "seven"
                answers.append(result.as_numpy(output))
    assert all(np.allclose(answers[0], one) for one in answers)
    tensor = http.InferInput(name, shape, "UINT8")
    tensor.set_data_from_numpy(pixels)
    best = http.InferRequestedOutput(output, class_count=2)
    result = client.infer(model, [tensor], outputs=[best], priority=1, timeout=10_000_000)
    classes = result.as_numpy(output)
    assert classes.shape == (1, 2), classes.shape
    waiting = [client.async_infer(model, [tensor]) for _ in range(8)]
    assert all(np.allclose(one.get_result().as_numpy(output), answers[0]) for one in waiting)
    statistics = client.get_inference_statistics(model)["model_stats"]
    assert sum(row["inference_count"] for row in statistics) >= 20
    assert any(row["name"] == model for row in client.get_model_repository_index())
    client.unload_model(model)
    assert not client.is_model_ready(model)
    client.load_model(model)
    assert client.is_model_ready(model)
    try:
        client.infer("no-such-model", [tensor])
    except Exception as error:  # the client's own class
        print("refused:", error)
    else:
        raise AssertionError("a model that is not there was answered")
    print("tritonclient sync: ok", answers[0].shape, classes[0])


async def asynchronous(address, model):
    async with aio.InferenceServerClient(address) as client:
        assert await client.is_server_live() and await client.is_model_ready(model)
        name, shape, pixels, output = of_model(await client.get_model_metadata(model))
        tensor = aio.InferInput(name, shape, "UINT8")
        tensor.set_data_from_numpy(pixels)
        results = await asyncio.gather(*(client.infer(model, [tensor]) for _ in range(16)))
        assert all(np.allclose(one.as_numpy(output), results[0].as_numpy(output)) for one in results)
    print("tritonclient aio: ok")


async def kserve(url, model):
    try:
        from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
    except ImportError:
        print("kserve: not installed")
        return
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(url) and await client.is_server_ready(url)
    assert await client.is_model_ready(url, model)
    metadata = http.InferenceServerClient(url.split("://")[1]).get_model_metadata(model)
    name, shape, pixels, _ = of_model(metadata)
    for binary in (False, True):
        tensor = InferInput(name=name, shape=shape, datatype="UINT8")
        tensor.set_data_from_numpy(pixels, binary_data=binary)
        request = InferRequest(model_name=model, infer_inputs=[tensor])
        answer = await client.infer(url, request, model_name=model)
        assert answer.outputs[0].shape[0] == 1
    print("kserve: ok")


if __name__ == "__main__":
    url, model = sys.argv[1:3]
    sync(url.split("://")[1], model)
    asyncio.run(asynchronous(url.split("://")[1], model))
    asyncio.run(kserve(url, model))
