//! Trust in tokens of other issuers, such as those a CI provider gives its jobs: whose keys, which claims, and what user they make.
//!
//! Owns the entries under `oidc` and the keys of their issuers. Knows no header and no rule; who asks for what is the caller's.
//! Invariants: a token vouches for somebody only with a good signature by its issuer's key, the entry's audience, and every claim
//! the entry asks for; an address comes from the configuration or from the issuer's own metadata, never from a token.

mod claim;
mod fetch;
mod issuer_url;
mod issuers;
mod keyring;
mod options;
mod presented;
#[cfg(test)]
mod tests;
mod user_template;

pub use claim::{ClaimName, Condition};
pub use issuer_url::{AddressFault, IssuerUrl};
pub(crate) use issuers::{Issuers, Refusal};
pub use options::{OidcKeys, OidcOptions};
pub(crate) use presented::looks_like_token;
pub use user_template::{TemplateFault, UserTemplate};
