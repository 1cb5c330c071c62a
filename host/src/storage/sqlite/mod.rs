//! SQLite.
use super::*;
use crate::model::Cursor;
/// Storage in one SQLite file.
pub struct SqliteStorage {}
impl SqliteStorage {
    /// Opens the database, which is created if it does not exist. Blocks on the disk.
    pub fn open(_path: &std::path::Path, _now: Timestamp) -> Result<Self, StorageError> {
        todo!()
    }
    pub(crate) fn create_in(
        &self,
        _tx: &rusqlite::Transaction<'_>,
        _ns: NamespaceId,
        _run: NewRun,
        _now: Timestamp,
    ) -> Result<Created, CreateError> {
        todo!()
    }
}
#[async_trait]
#[allow(unused)]
impl Storage for SqliteStorage {
    async fn namespace(&self, name: &Name, create: bool) -> Result<Option<Namespace>, StorageError> {
        todo!()
    }
    fn namespaces(&self) -> Vec<Namespace> {
        todo!()
    }
    async fn register(&self, registration: Registration, now: Timestamp) -> Result<Vec<Arc<Task>>, RegisterError> {
        todo!()
    }
    fn task(&self, namespace: NamespaceId, name: &str) -> Option<Arc<Task>> {
        todo!()
    }
    fn tasks(&self, namespace: NamespaceId) -> Vec<Arc<Task>> {
        todo!()
    }
    fn component(&self, digest: &Digest) -> Result<Option<Component>, StorageError> {
        todo!()
    }
    fn next_run_id(&self, now: Timestamp) -> RunId {
        todo!()
    }
    async fn create(&self, namespace: NamespaceId, runs: Vec<NewRun>, now: Timestamp) -> Result<Vec<Created>, CreateError> {
        todo!()
    }
    fn holder(&self, namespace: NamespaceId, run: &NewRun, now: Timestamp) -> Result<Option<Created>, CreateError> {
        todo!()
    }
    fn claim(&self, limit: usize, now: Timestamp) -> Vec<Claim> {
        todo!()
    }
    fn next_due(&self) -> Option<Timestamp> {
        todo!()
    }
    fn on_due(&self, wake: Box<dyn Fn() + Send + Sync>) {
        todo!()
    }
    fn input(&self, run: RunId) -> Result<Payload, StorageError> {
        todo!()
    }
    fn finish(&self, finish: Finish, now: Timestamp) {
        todo!()
    }
    fn progress(&self, run: RunId, progress: Progress) {
        todo!()
    }
    fn get(&self, namespace: NamespaceId, run: RunId, now: Timestamp) -> Result<Option<Run>, StorageError> {
        todo!()
    }
    fn list(
        &self,
        namespace: NamespaceId,
        filter: &RunFilter,
        page: &Page,
        now: Timestamp,
    ) -> Result<(Vec<Run>, Option<crate::model::Cursor>), StorageError> {
        todo!()
    }
    fn list_ids(
        &self,
        namespace: NamespaceId,
        filter: &RunFilter,
        page: &Page,
        now: Timestamp,
    ) -> Result<(Vec<RunId>, Option<crate::model::Cursor>), StorageError> {
        todo!()
    }
    fn count(&self, namespace: NamespaceId, filter: &RunFilter, now: Timestamp) -> Result<u64, StorageError> {
        todo!()
    }
    fn attempts(&self, namespace: NamespaceId, run: RunId) -> Result<Vec<Attempt>, StorageError> {
        todo!()
    }
    async fn reschedule(
        &self,
        namespace: NamespaceId,
        moves: Vec<(RunId, Move)>,
        now: Timestamp,
    ) -> Result<Vec<Result<(), ChangeError>>, StorageError> {
        todo!()
    }
    async fn delete(&self, namespace: NamespaceId, runs: Vec<RunId>, now: Timestamp) -> Result<Vec<Result<(), ChangeError>>, StorageError> {
        todo!()
    }
    async fn trigger(&self, namespace: NamespaceId, run: RunId, now: Timestamp) -> Result<Result<(), ChangeError>, StorageError> {
        todo!()
    }
    async fn cancel(&self, namespace: NamespaceId, run: RunId, now: Timestamp) -> Result<Result<Cancelled, ChangeError>, StorageError> {
        todo!()
    }
    async fn miss(&self, gap: Gap, limit: usize, now: Timestamp) -> Result<usize, StorageError> {
        todo!()
    }
    fn alive_until(&self) -> Option<Timestamp> {
        todo!()
    }
    async fn heartbeat(&self, now: Timestamp) -> Result<(), StorageError> {
        todo!()
    }
    fn subscribe(&self) -> tokio::sync::broadcast::Receiver<RunEvent> {
        todo!()
    }
    fn ended(&self, run: RunId) -> tokio::sync::oneshot::Receiver<()> {
        todo!()
    }
    async fn backup(&self, to: std::path::PathBuf, progress: Box<dyn Fn(u64, u64) + Send>) -> Result<(), StorageError> {
        todo!()
    }
    async fn create_token(&self, token: TokenRecord) -> Result<(), StorageError> {
        todo!()
    }
    fn tokens(&self) -> Result<Vec<TokenRecord>, StorageError> {
        todo!()
    }
    async fn revoke_token(&self, id: &str, now: Timestamp) -> Result<bool, StorageError> {
        todo!()
    }
    fn health(&self) -> Health {
        todo!()
    }
    async fn flush(&self) -> Result<(), StorageError> {
        todo!()
    }
    async fn close(&self) -> Result<(), StorageError> {
        todo!()
    }
}
