// The counter application's one table. `write_id` is not unique on purpose: a write that ran twice must leave two rows,
// so that reading the table proves that none did.

export const COUNTER_SCHEMA = `
CREATE TABLE IF NOT EXISTS counter (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  write_id uuid NOT NULL,
  region text NOT NULL,
  written_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS counter_write_id ON counter (write_id);
`;
