//! What of a request is told to the endpoints of `notifications`: the same things of which registry 3 tells, in the same words.
//!
//! A pull is mentioned and no more; the event of a push, a mount or a delete is on disk before the answer. Where nobody is to be told,
//! nothing is made.

use std::net::SocketAddr;

use actix_web::http::header::{HOST, USER_AGENT};
use actix_web::web::Data;
use actix_web::{HttpMessage as _, HttpRequest};

use super::access::Asker;
use super::audit::RequestId;
use super::client_addr::ConnectionInfo;
use super::{AppState, extract};
use crate::notify::{self, Action, Event, Notifier, Target};
use crate::oci::media_type::OCTET_STREAM;
use crate::oci::{Digest, Manifest, Name, Reference, Tag};
use crate::registry::{PushedManifest, Repository, StoredManifest};

/// A request of which something may be told.
struct Teller<'a> {
    notifier: &'a Notifier,
    state: &'a AppState,
    request: &'a HttpRequest,
}

impl<'a> Teller<'a> {
    /// `None`: there is nobody to tell.
    fn of(request: &'a HttpRequest) -> Option<Self> {
        let state = request.app_data::<Data<AppState>>()?.get_ref();
        Some(Self { notifier: state.notifier.as_deref()?, state, request })
    }

    /// The same, if anybody wants to know of such a thing.
    fn about(request: &'a HttpRequest, action: Action, media_type: &str) -> Option<Self> {
        Self::of(request).filter(|teller| teller.notifier.wants(action, media_type))
    }

    fn event(&self, action: Action, target: Target) -> Event {
        let extensions = self.request.extensions();
        let caller = extensions.get::<Asker>().and_then(|asker| asker.0.as_ref().ok());
        let actor = caller.map(|caller| caller.identity().to_string()).unwrap_or_default();
        Event::new(action, target, self.asker(), actor, self.notifier.source())
    }

    fn asker(&self) -> notify::Asker {
        let text = |name| extract::header(self.request, name).unwrap_or_default().to_owned();
        notify::Asker {
            id: self.request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
            address: self.address(),
            host: text(HOST),
            method: self.request.method().to_string(),
            user_agent: text(USER_AGENT),
        }
    }

    /// The client's address, with its port when it speaks to us itself.
    fn address(&self) -> String {
        let address = self.state.live().proxies.client(self.request).address;
        let peer = self.request.conn_data::<ConnectionInfo>().and_then(|info| info.peer);
        let peer = peer.map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port()));
        peer.filter(|peer| peer.ip() == address).map_or_else(|| address.to_string(), |peer| peer.to_string())
    }

    fn manifest(&self, name: &Name, digest: &Digest, media_type: &str, bytes: &[u8]) -> Target {
        let live = self.state.live();
        let url = live.locations.manifest(&live.proxies.client(self.request), name, digest);
        let target = Target::of(name.as_str(), media_type, digest.as_str(), bytes.len() as u64, url);
        Target { references: self.notifier.references_of(bytes), ..target }
    }

    fn blob(&self, name: &Name, digest: &Digest, size: u64) -> Target {
        let live = self.state.live();
        let url = live.locations.blob(&live.proxies.client(self.request), name, digest);
        Target::of(name.as_str(), OCTET_STREAM, digest.as_str(), size, url)
    }
}

/// A manifest is sent, or its head.
pub(super) fn pulled_manifest(request: &HttpRequest, name: &Name, reference: &Reference, manifest: &StoredManifest) {
    let media_type = manifest.media_type.as_str();
    if let Some(teller) = Teller::about(request, Action::Pull, media_type) {
        let target = teller.manifest(name, &manifest.digest, media_type, &manifest.bytes);
        teller.notifier.mention(&teller.event(Action::Pull, Target { tag: tag_of(reference), ..target }));
    }
}

/// A manifest was stored: told once for each tag that it got.
pub(super) async fn pushed_manifest(request: &HttpRequest, name: &Name, reference: &Reference, pushed: &PushedManifest, bytes: &[u8]) {
    let Some(teller) = Teller::of(request) else { return };
    let media_type = Manifest::stored_media_type(bytes);
    if !teller.notifier.wants(Action::Push, media_type.as_str()) {
        return;
    }
    let target = teller.manifest(name, &pushed.digest, media_type.as_str(), bytes);
    let mut tags: Vec<_> = pushed.tags.iter().map(Tag::to_string).collect();
    if tags.is_empty() {
        tags.push(tag_of(reference));
    }
    // A few at a time, since each may be as long as the manifest.
    for tags in tags.chunks(4) {
        let event = |tag: &String| teller.event(Action::Push, Target { tag: tag.clone(), ..target.clone() });
        let events: Vec<_> = tags.iter().map(event).collect();
        teller.notifier.tell(&events).await;
    }
}

/// A manifest was removed, and these tags with it.
pub(super) async fn deleted_manifest(request: &HttpRequest, name: &Name, digest: &Digest, tags: &[Tag]) {
    let Some(teller) = Teller::about(request, Action::Delete, "") else { return };
    let manifest = Target::removed(name.as_str(), digest.as_str());
    let targets = [manifest].into_iter().chain(tags.iter().map(|tag| Target::removed_tag(name.as_str(), tag.as_str())));
    let events: Vec<_> = targets.map(|target| teller.event(Action::Delete, target)).collect();
    teller.notifier.tell(&events).await;
}

/// A tag was removed.
pub(super) async fn deleted_tag(request: &HttpRequest, name: &Name, tag: &Tag) {
    let Some(teller) = Teller::about(request, Action::Delete, "") else { return };
    teller.notifier.tell(&[teller.event(Action::Delete, Target::removed_tag(name.as_str(), tag.as_str()))]).await;
}

/// A blob is sent, or a part of it, or its head; also where the client has it already, as registry:2 tells of that too.
pub(super) fn pulled_blob(request: &HttpRequest, name: &Name, digest: &Digest, size: u64) {
    if let Some(teller) = Teller::about(request, Action::Pull, OCTET_STREAM) {
        teller.notifier.mention(&teller.event(Action::Pull, teller.blob(name, digest, size)));
    }
}

/// A blob was stored.
pub(super) async fn pushed_blob(request: &HttpRequest, name: &Name, digest: &Digest, size: u64) {
    let Some(teller) = Teller::about(request, Action::Push, OCTET_STREAM) else { return };
    teller.notifier.tell(&[teller.event(Action::Push, teller.blob(name, digest, size))]).await;
}

/// A blob of another repository, which the client may have named, has become this one's as well.
pub(super) async fn mounted_blob(request: &HttpRequest, repository: &Repository, from: Option<&str>, digest: &Digest) {
    let Some(teller) = Teller::about(request, Action::Mount, OCTET_STREAM) else { return };
    // Should it be gone again, its length is not known.
    let size = repository.blob(digest).await.map_or(0, |blob| blob.content.length());
    let target = teller.blob(repository.name(), digest, size);
    let target = Target { from_repository: from.unwrap_or_default().to_owned(), ..target };
    teller.notifier.tell(&[teller.event(Action::Mount, target)]).await;
}

/// A blob was removed.
pub(super) async fn deleted_blob(request: &HttpRequest, name: &Name, digest: &Digest) {
    let Some(teller) = Teller::about(request, Action::Delete, "") else { return };
    teller.notifier.tell(&[teller.event(Action::Delete, Target::removed(name.as_str(), digest.as_str()))]).await;
}

fn tag_of(reference: &Reference) -> String {
    match reference {
        Reference::Tag(tag) => tag.to_string(),
        Reference::Digest(_) => String::new(),
    }
}
