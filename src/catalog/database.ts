/** Every table of the catalogue. Each set of tables is typed beside the migration that makes it. */
import type { Transaction } from 'kysely'
import type { DatasetTables } from './migration/0001-datasets.ts'
import type { JobTables } from './migration/0002-jobs.ts'
import type { ModelTables } from './migration/0003-models.ts'
import type { JobEventTables } from './migration/0004-job-events.ts'
import type { DeliveryTables } from './migration/0005-deliveries.ts'
import type { KeyTables } from './migration/0006-keys.ts'
import type { TurnTables } from './migration/0007-attempts.ts'
import type { EvaluationTables } from './migration/0009-evaluations.ts'
import type { DriftTables } from './migration/0010-drift.ts'
import type { FeedbackTables } from './migration/0011-feedback.ts'
import type { AliasEventTables } from './migration/0012-canary.ts'

export type Database = DatasetTables &
  JobTables &
  ModelTables &
  JobEventTables &
  DeliveryTables &
  KeyTables &
  TurnTables &
  EvaluationTables &
  DriftTables &
  FeedbackTables &
  AliasEventTables

export type CatalogTransaction = Transaction<Database>
