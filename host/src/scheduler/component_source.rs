//! Hands the executor the bytes of components, out of storage.

use std::sync::Arc;

use crate::executor::ComponentSource;
use crate::model::Digest;
use crate::storage::Storage;

/// Storage, as the executor sees it.
pub(super) struct StorageComponentSource(pub(super) Arc<dyn Storage>);

impl ComponentSource for StorageComponentSource {
    fn load(&self, digest: &Digest) -> Result<Arc<[u8]>, String> {
        match self.0.component(digest) {
            Ok(Some(component)) => Ok(component.wasm.into()),
            Ok(None) => Err(format!("component {digest} is not stored; register it again")),
            Err(error) => Err(format!("component {digest} could not be read: {error}")),
        }
    }
}
