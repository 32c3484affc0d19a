/** Every table of the catalogue. Each set of tables is typed beside the migration that makes it. */
import type { Transaction } from 'kysely'
import type { DatasetTables } from './migration/0001-datasets.ts'
import type { JobTables } from './migration/0002-jobs.ts'
import type { ModelTables } from './migration/0003-models.ts'

export type Database = DatasetTables & JobTables & ModelTables

export type CatalogTransaction = Transaction<Database>
