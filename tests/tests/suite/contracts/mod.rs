//! What operators meet of the database: its schema, how its hot statements are carried out, and what is said of a bad file.

mod bad_files;
mod damaged_rows;
pub(crate) mod golden;
mod residue;
mod schema;
