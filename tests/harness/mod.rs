//! A real registry for a test, and a client that speaks its language.
//!
//! [`Setup`] says how it is configured, [`Running`] is the server in a thread of its own on port 0 of loopback, [`Client`] sends
//! requests and checks on every answer what holds for all of them.

mod answer;
mod certificate;
mod client;
mod image;
mod raw;
mod receiver;
mod running;
mod setup;
mod tls;

pub(crate) use answer::Answer;
pub(crate) use certificate::{Certificate, Identity};
pub(crate) use client::{Client, encode, pipe, with};
pub(crate) use image::{DOCKER_LIST, DOCKER_MANIFEST, Image, OCI_INDEX, OCI_MANIFEST, descriptor, image_of, index_of, sha256, sha512};
pub(crate) use raw::{eventually, exchange, raw};
pub(crate) use receiver::{Received, Receiver};
pub(crate) use running::Running;
pub(crate) use setup::{ALICE, BOB, Setup};
pub(crate) use tls::{answers, tls_client, tls_connect};
