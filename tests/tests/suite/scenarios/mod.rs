//! What users rely on, with real storage and real guests: one file for each theme, on a clock that only the test moves.

mod arguments;
mod asleep;
mod code_crons;
mod cron_gaps;
mod crons;
mod declared_crons;
mod embedding;
mod explain;
mod forecast;
mod gates;
mod guest_cron_options;
mod guest_crons;
mod guest_pauses;
mod hostile;
mod neighbours;
mod plain;
mod policies;
mod registration;
mod retries;
mod shares;
mod time;
mod world;
mod writes;
