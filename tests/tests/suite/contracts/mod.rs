//! What operators meet of the database: its schema, how its hot statements are carried out, and what is said of a bad file. And what they read of
//! limits.

mod bad_files;
mod damaged_rows;
pub(crate) mod earlier;
pub(crate) mod golden;
mod limits;
mod readable;
mod residue;
mod schema;
