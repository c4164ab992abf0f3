//! The words of the OCI specifications as types that cannot be wrong.
//!
//! protocol. Invariant: a value of one of these types has passed its grammar; there is no other way to make one.

pub mod digest;
pub mod error_code;
pub mod media_type;
pub mod name;
pub mod reference;

pub use digest::{Algorithm, Digest, Digester};
pub use error_code::ErrorCode;
pub use media_type::MediaType;
pub use name::Name;
pub use reference::{Reference, Tag};
