//! `GET …/tenants/{tenant}`: what the client for TypeScript asks once, to know which version of the system it speaks to.

use axum::Json;
use serde_json::{Value, json};

use super::path::Tenant;
use super::row::RowMetadata;
use crate::model::Timestamp;

pub(super) async fn tenant(Tenant { scheduler, id }: Tenant) -> Json<Value> {
    let name = scheduler.namespace().name.as_str();
    // Nobody keeps when a namespace was made.
    let metadata = RowMetadata { id, created_at: Timestamp::MIN, updated_at: Timestamp::MIN };
    Json(json!({ "metadata": metadata, "name": name, "slug": name, "version": "V1" }))
}
