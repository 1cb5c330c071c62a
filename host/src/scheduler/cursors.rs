//! The cursors that doors give out, sealed so that only the same list takes them back.

use super::Scheduler;
use crate::model::{Cursor, Invalid, List, Order, RunFilter};

impl Scheduler {
    /// The text by which a caller asks for the page that begins here.
    pub fn seal_cursor(&self, cursor: Cursor, filter: &RunFilter, order: Order) -> String {
        cursor.to_sealed(self.list_of(filter, order), &self.core.secret, self.now())
    }

    /// Reads such a text. Refuses one that this database did not give out for this list, or more than a day ago.
    pub fn open_cursor(&self, text: &str, filter: &RunFilter, order: Order) -> Result<Cursor, Invalid> {
        Cursor::parse_sealed(text, self.list_of(filter, order), &self.core.secret, self.now())
    }

    fn list_of<'a>(&self, filter: &'a RunFilter, order: Order) -> List<'a> {
        List { namespace: self.namespace.id, filter, order }
    }
}
