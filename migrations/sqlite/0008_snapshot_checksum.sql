-- The digest of all parts of a snapshot, in their order; absent in those of earlier versions.
ALTER TABLE snapshot_head ADD COLUMN checksum TEXT;
