//! Secrets in files of their own.
