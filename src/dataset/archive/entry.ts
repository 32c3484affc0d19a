/** One entry of an archive, whatever the archive: what `zip.ts` and `tar.ts` give and imports read. */
export interface ArchiveEntry {
  /** As written in the archive: hostile. Never part of a path on disk. */
  readonly name: string
  readonly kind: 'file' | 'folder' | 'link' | 'device'
  /**
   * The entry's bytes. To be read to the end, or not at all, before the next entry is asked for.
   *
   * @throws ServiceError ARCHIVE_ENTRY_INVALID (encrypted, unknown method, damaged, wrong CRC): this
   *   entry is lost, the next ones may be fine.
   */
  read(): AsyncIterable<Uint8Array>
}
