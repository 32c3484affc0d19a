/**
 * The wheels that hold the TensorFlow library, each with the hash it must have.
 *
 * The CUDA set is the full wheel plus NVIDIA's libraries of the CUDA 12.5 family, the one that
 * TensorFlow 2.21 is built with; its libraries find them in `../nvidia/<name>/lib` (their RUNPATH).
 */
export const tensorflowVersion = '2.21.0'

const cpuX64 = [
  [
    'tensorflow_cpu',
    tensorflowVersion,
    'dcc8afd32930e42d5296b6ee19078b773706830af4ea97fbe503b9f5e0f820cb'
  ]
]
const cpuArm64 = [
  [
    'tensorflow',
    tensorflowVersion,
    'b07d15737406533898e36c7ef7944b1be18e9028dc521b9229952c537bbc5552'
  ]
]
const cudaX64 = [
  [
    'tensorflow',
    tensorflowVersion,
    'b3b95643c4e70eb925839938fb35cbe142f317ec84af6844ee61513713bb13c0'
  ],
  [
    'nvidia-cublas-cu12',
    '12.5.3.2',
    'ca070ad70e9fa6654084575d01bd001f30cc4665e33d4bb9fc8e0f321caa034b'
  ],
  [
    'nvidia-cuda-cupti-cu12',
    '12.5.82',
    'bde77a5feb66752ec61db2adfe47f56b941842825b4c7e2068aff27c9d107953'
  ],
  [
    'nvidia-cuda-nvrtc-cu12',
    '12.5.82',
    '3dbd97b0104b4bfbc3c4f8c79cd2496307c89c43c29a9f83125f1d76296ff3fd'
  ],
  [
    'nvidia-cuda-runtime-cu12',
    '12.5.82',
    '3e79a060e126df40fd3a068f3f787eb000fa51b251ec6cd97d09579632687115'
  ],
  [
    'nvidia-cudnn-cu12',
    '9.3.0.75',
    '9ad9c6929ebb5295eb4a1728024666d1c88283373e265a0c5c883e6f9d5cd76d'
  ],
  [
    'nvidia-cufft-cu12',
    '11.2.3.61',
    '9a6e8df162585750f61983a638104a48c756aa13f9f48e19ab079b38e3c828b8'
  ],
  [
    'nvidia-curand-cu12',
    '10.3.6.82',
    '2823fb27de4e44dbb22394a6adf53aa6e1b013aca0f8c22867d1cfae58405536'
  ],
  [
    'nvidia-cusolver-cu12',
    '11.6.3.83',
    '93cfafacde4428b71778eeb092ec615a02a3d05404da1bcf91c53e3fa1bce42b'
  ],
  [
    'nvidia-cusparse-cu12',
    '12.5.1.3',
    '016df8e993c437e8301e62739f01775cba988fd5253cd4c64173f8e8d2f8e752'
  ],
  [
    'nvidia-nccl-cu12',
    '2.27.7',
    'de5ba5562f08029a19cb1cd659404b18411ed0d6c90ac5f52f30bf99ad5809aa'
  ],
  [
    'nvidia-nvjitlink-cu12',
    '12.5.82',
    'f9b37bc5c8cf7509665cb6ada5aaa0ce65618f2332b7d3e78e9790511f111212'
  ]
]

/** Wheels of a variant (`cpu` or `cuda`) on this platform, or null where there are none. */
export function wheelsFor(variant, { platform, arch } = process) {
  if (platform !== 'linux') return null
  if (arch === 'x64') return variant === 'cuda' ? cudaX64 : cpuX64
  return arch === 'arm64' && variant === 'cpu' ? cpuArm64 : null
}
