//! The words of the OCI specifications as types that cannot be wrong.
//!
//! Owns the grammars of names, digests, tags and media types and the shape of manifests. Knows no storage, no rule and no
//! protocol. Invariant: a value of one of these types has passed its grammar; there is no other way to make one.

pub mod descriptor;
pub mod digest;
pub mod error_code;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod reference;

pub use descriptor::{Descriptor, Platform};
pub use digest::{Algorithm, Digest, Digester};
pub use error_code::ErrorCode;
pub use manifest::Manifest;
pub use media_type::MediaType;
pub use name::Name;
pub use reference::{Reference, Tag};
