-- What an ended allocation was recognised by, for the filters of lists: `name=` and the like before each text, each framed by
-- U+001F. NULL without any. A further annotation needs no further column.
ALTER TABLE past_allocation ADD COLUMN annotations TEXT;

-- Few are annotated where nobody annotates: a filter does not read the others.
CREATE INDEX past_allocation_annotated ON past_allocation (id) WHERE annotations IS NOT NULL;
