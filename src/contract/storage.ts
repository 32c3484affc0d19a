/** What the data folder takes, and what room is left: `GET /v1/storage`. All sizes in bytes. */
import { type Static, Type } from 'typebox'

const bytes = (description: string) => Type.Integer({ minimum: 0, description })

export const LastSweep = Type.Object(
  { at: Type.String(), removed: Type.Integer(), bytes: Type.Integer() },
  { $id: 'LastSweep' }
)
export type LastSweep = Static<typeof LastSweep>

export const StorageUse = Type.Object(
  {
    used: bytes('By everything in the data folder, in whole blocks of 4 KiB'),
    limit: Type.Union([Type.Integer(), Type.Null()], {
      description: '`WHITTLE_MAX_DISK`; null when there is none'
    }),
    free: bytes('On the file system'),
    reserve: bytes('Kept back from uploads, for what has been accepted'),
    held: bytes(
      'Kept back from uploads besides, for the images of archives whose import has not ended'
    ),
    room: bytes('What uploads may still take'),
    parts: Type.Object(
      {
        images: bytes('Images of datasets, each content once'),
        models: bytes('Files of published models'),
        checkpoints: bytes('Checkpoints and artifacts of jobs that have not ended'),
        uploads: bytes('Uploads and imports on their way'),
        catalogue: bytes('The catalogue with its log'),
        redis: bytes('The private Redis'),
        workerCache: bytes("A worker's datasets and packs, if they lie in the data folder"),
        unreferenced: bytes('What nothing refers to; swept when it is an hour old'),
        other: bytes('Everything else')
      },
      { description: '`used`, by what it is for' }
    ),
    blobs: Type.Integer({ minimum: 0, description: 'Files of images, models and jobs' }),
    measuredAt: Type.String({ description: 'When the folder was walked' }),
    lastSweep: Type.Union([LastSweep, Type.Null()], {
      description: 'What was removed since the service started; null before the first sweep'
    })
  },
  { $id: 'StorageUse' }
)
export type StorageUse = Static<typeof StorageUse>
