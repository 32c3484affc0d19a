/**
 * Proof that the binding works: loads it and multiplies two matrices. CommonJS, as the package is.
 *
 * Node 23 took `isNullOrUndefined` and `isArray` out of `util`; the package still calls them.
 */
const util = require('node:util')

util.isNullOrUndefined ??= (value) => value === null || value === undefined
util.isArray ??= Array.isArray

const tf = require('@tensorflow/tfjs-node-gpu')

const product = tf.matMul(tf.tensor2d([1, 2, 3, 4], [2, 2]), tf.tensor2d([5, 6, 7, 8], [2, 2]))
const values = [...product.dataSync()].join()
if (values !== '19,22,43,50') throw new Error(`a matrix product came out as ${values}`)
