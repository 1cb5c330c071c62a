//! tokens
/// x
pub struct NewToken {}
/// x
pub struct Role {}
/// x
pub struct Token {}
