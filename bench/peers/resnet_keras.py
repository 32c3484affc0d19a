"""ResNet-20 (32 pixels, batch 128) in Keras 3 on TensorFlow, graph mode: images per second of train_step.

Run by bench/training-step-peers.ts: prints one figure per line that it reads, so that processes take turns.
Usage: resnet_keras.py THREADS STEPS
"""
import os
import sys
import time

threads, steps = int(sys.argv[1]), int(sys.argv[2])
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
import keras

tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(threads)
BATCH = 128


def conv(x, filters, size, stride):
    x = keras.layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
    return keras.layers.BatchNormalization(epsilon=1e-3, momentum=0.9)(x)


def resnet20():
    inputs = keras.Input((32, 32, 3), batch_size=BATCH)
    x = keras.layers.ReLU()(conv(inputs, 16, 3, 1))
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(3):
            stride = 2 if stage > 0 and block == 0 else 1
            y = keras.layers.ReLU()(conv(x, filters, 3, stride))
            y = conv(y, filters, 3, 1)
            if stride == 2:
                x = conv(x, filters, 1, stride)
            x = keras.layers.ReLU()(keras.layers.Add()([x, y]))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10)(x))


model = resnet20()
model.compile(
    optimizer=keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
)
random = np.random.default_rng(1)
images = tf.constant(random.standard_normal((BATCH, 32, 32, 3)).astype("float32"))
labels = tf.constant(random.integers(0, 10, BATCH).astype("int32"))


@tf.function
def step(images, labels):
    with tf.GradientTape() as tape:
        loss = model.compute_loss(y=labels, y_pred=model(images, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    model.optimizer.apply(gradients, model.trainable_variables)
    return loss


for _ in range(2):
    step(images, labels).numpy()
print("ready", keras.__version__, "on TensorFlow", tf.__version__, flush=True)
for _ in sys.stdin:
    started = time.perf_counter()
    for _ in range(steps):
        step(images, labels).numpy()
    print(BATCH * steps / (time.perf_counter() - started), flush=True)
